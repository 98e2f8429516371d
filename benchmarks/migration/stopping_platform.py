"""Child process: `stopping_platform.py up OPTIONS` is `quickthaw up`, but its workers know a second way to move.

While the file `stop-first` lies in the data directory they stop an invocation before they compute what is known of it
(stop, copy, continue); otherwise they move as the platform does. `stopping_platform.py worker` is such a worker. Each
keeps to a processor core of its own, so that its computing does not slow the other's down, as on hosts of their own.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace

from quickthaw_platform.invocations.records import Offer
from quickthaw_platform.invocations.store import NOTHING
from quickthaw_platform.migration import handover
from quickthaw_platform.migration.handover import Destination, Handover, Result, Store
from quickthaw_platform.worker.commands import Commands

FLAG = "stop-first"


def stop_first(commands: Commands, store: Store, offer: Offer, destination: Destination) -> Handover:
    """Become the owner at once, stop the source, compute all that is known, and go on."""
    accepted = store.accept(offer, NOTHING)
    if accepted is None:
        return Handover(Result.LATE, 0, 0, 0.0)
    commands.cancel(accepted.left, offer.invocation)
    destination.hold(accepted.history)
    destination.take(replace(accepted, history=NOTHING), accepted.history)
    return Handover(Result.MOVED, 1, accepted.history.tokens, 0.0, accepted)


def up(options: list[str]) -> None:
    """Run the platform with workers of this kind."""
    from quickthaw_platform.commands import host
    from quickthaw_platform.commands.processes import PROCESSES
    from quickthaw_platform.commands.up import up as command

    ours = f"{sys.executable} {__file__} worker"
    vars(host)["PROCESSES"] = tuple(
        process._replace(command=ours) if process.scaled else process for process in PROCESSES
    )
    command.main(options, prog_name="quickthaw up")


def keep_to_a_core(node: str) -> None:
    """Have this process and its children run on the core that goes with the node's number."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[int(node.rpartition("-")[2]) % len(cores)]})


def worker() -> None:
    """Be a worker of this kind."""
    from functools import partial

    from celery.__main__ import main

    from quickthaw_platform import settings as settings_module
    from quickthaw_platform.worker import arrivals
    from quickthaw_platform.worker.launch import worker_argv

    settings = settings_module.load()
    keep_to_a_core(settings.node)
    flag = settings.data_dir / FLAG
    run = arrivals.Arrivals._run

    def choose_and_run(self: arrivals.Arrivals, offer: Offer) -> None:
        stopping = partial(stop_first, self._commands)
        vars(arrivals)["take_over"] = stopping if flag.exists() else handover.take_over
        run(self, offer)

    arrivals.Arrivals._run = choose_and_run  # type: ignore[method-assign]
    sys.argv = ["celery", *worker_argv(settings)[3:]]
    main()


if __name__ == "__main__":
    up(sys.argv[2:]) if sys.argv[1] == "up" else worker()
