"""`python -m tests.acceptance.chaos`: calls under load while a random process is killed every two seconds.

Afterwards every call has ended with its whole output or a recorded cause, every log is whole, and nothing is left
behind. `make chaos MINUTES=30` runs it for longer; `test_chaos.py` for a minute.
"""

from __future__ import annotations

import contextlib
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import psutil
from rich.console import Console
from rich.table import Table

from quickthaw import Client, Event, EventType
from tests.acceptance.chaos_kills import Killer
from tests.acceptance.chaos_load import FUNCTIONS, PATIENT, Load, Outcome, Said, deploy
from tests.acceptance.cluster import EAST_AND_WEST, Cluster, running, wait_for
from tests.integration.worker.echo_checkpoint import write_checkpoint

CALLERS = 40
CALLS = 500
KILL_EVERY_SECONDS = 2.0
CALM_SECONDS = 60.0
PROGRESS_SECONDS = 1.0
SUCCEEDED_LEAST = 0.95

CAUSES = frozenset({"poison_invocation", "instance_lost", "node_lost"})
"""What a call may fail with: two losses in a row without anything new, or, with resumable=False, one."""

CAUSES_OF_RESUMABLE = frozenset({"poison_invocation"})

LOST_WRITES = "redis has lost writes"
"""What the log of an agent says of that."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one call; `cause`: '' when it succeeded."""

    function: str
    cause: str
    seconds: float
    lives: int  # processes that ran it
    wrong: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """One run."""

    verdicts: tuple[Verdict, ...]
    kills: Counter[str]
    wrong: tuple[str, ...]

    @property
    def succeeded(self) -> int:
        """How many calls did."""
        return sum(not verdict.cause for verdict in self.verdicts)


def chaos(
    cluster: Cluster,
    *,
    seed: int,
    seconds: float,
    callers: int = CALLERS,
    calls: int = CALLS,
    progress: Callable[[str], None] = lambda _: None,
) -> Result:
    """Run the load and the kills for at least so many seconds and calls, let things calm down, and look."""
    client = Client(cluster.url, cluster.api_key, backoff=PATIENT)
    deploy(client)
    for name in FUNCTIONS:
        client.invoke(name, {"plan": "a", "text": "b"} if name == "twice" else {"prompt": "a"})
    known = records(cluster)
    load = Load(client, seed=seed, callers=callers, calls=calls, seconds=seconds)
    killer = Killer(cluster, seed=seed, every_seconds=KILL_EVERY_SECONDS)
    load.start()
    killer.start()
    try:
        while not load.is_enough():
            time.sleep(PROGRESS_SECONDS)
            progress(f"{len(load.outcomes)} calls, {load.open} open; {killer.kills.total()} kills")
    finally:
        killer.stop()
        load.wait()
        _note(cluster, killer, load)
    left = remains(cluster)
    with client:
        verdicts = tuple(judge(outcome, client) for outcome in load.outcomes)
    lost = records(cluster) - known ^ {o.invocation.id for o in load.outcomes if o.invocation is not None}
    strangers = [f"invocation {identity} is in one place only, client or store" for identity in sorted(lost)]
    wrong = (*left, *strangers, *lost_writes(cluster), *(line for verdict in verdicts for line in verdict.wrong))
    return Result(verdicts, killer.kills, wrong)


def _note(cluster: Cluster, killer: Killer, load: Load) -> None:
    """Write beside the processes' logs what was killed when, and which calls did not end well for their clients."""
    lines = [f"{at:.3f} {what}" for at, what in killer.times]
    lines += [f"call {o.number} {o.invocation and o.invocation.id}: {o.raised!r}" for o in load.outcomes if o.raised]
    (cluster.data_dir / "chaos.log").write_text("\n".join(lines) + "\n")


def judge(outcome: Outcome, client: Client) -> Verdict:
    """Compare what a client saw, what the log holds, and what was to come."""
    function = outcome.call.function
    if outcome.seconds is None or outcome.invocation is None or outcome.raised is not None:
        what = "hangs" if outcome.seconds is None else f"raised {outcome.raised!r} in its client"
        name = outcome.invocation.id if outcome.invocation else "without an id"
        return Verdict(function, "no end", outcome.seconds or 0.0, 0, (f"{function} {name} {what}",))
    log = list(client.events(outcome.invocation.id, timeout=CALM_SECONDS))
    cause = "" if log[-1].type is EventType.RESULT else str(log[-1].data["error"]["code"])
    wrong = tuple(f"{function} {outcome.invocation.id} {line}" for line in _wrong(outcome, log, cause))
    return Verdict(function, cause, outcome.seconds, outcome.invocation.status().epoch, wrong)


def _wrong(outcome: Outcome, log: list[Event], cause: str) -> Iterator[str]:
    """Say what is wrong with the log of a call that has ended."""
    if [event.seq for event in log] != list(range(1, len(log) + 1)):
        yield f"has a log with gaps or duplicates: {[event.seq for event in log]}"
    if [event.seq for event in log if event.ends] != [len(log)]:
        yield "has not exactly one terminal event, at its end"
    if [event for event in outcome.events if event.seq] != log:  # those without a seq say how the queue stands
        yield f"showed its client other events than its log has ({len(outcome.events)} and {len(log)})"
    said, expected = Said.of(log), outcome.call.expected
    if not cause and said != expected:
        yield f"said {said} instead of {expected}"
    if cause and not all(whole.startswith(text) for text, whole in zip(said.texts, expected.texts, strict=False)):
        yield f"said {said}, which is no beginning of {expected}"
    allowed = CAUSES if outcome.call.function == "once" else CAUSES_OF_RESUMABLE
    if cause and cause not in allowed:
        yield f"failed: {log[-1].data['error']}"


def records(cluster: Cluster) -> set[str]:
    """Return the ids of all invocations that the store knows."""
    return {str(key).removeprefix("qt:inv:") for key in cluster.redis.scan_iter("qt:inv:*", count=1000)}


def lost_writes(cluster: Cluster) -> tuple[str, ...]:
    """Return which agents found that Redis lacked what it had answered (see worker.journal): a kill loses nothing."""
    logs = {name: (cluster.data_dir / f"{name}.log").read_text(errors="replace") for name in cluster.workers}
    return tuple(f"redis has lost writes of {name}" for name, log in logs.items() if LOST_WRITES in log)


def remains(cluster: Cluster) -> tuple[str, ...]:
    """Wait until nothing is left of the load, and return what is when that does not come."""
    try:
        wait_for(lambda: not _remains(cluster), "calm", CALM_SECONDS)
    except AssertionError:
        return tuple(f"left behind: {what}" for what in _remains(cluster))
    return ()


def _remains(cluster: Cluster) -> list[str]:
    redis = cluster.redis
    kept = ("qt:active", "qt:moves", "qt:deadlines")
    found = [f"{key} {redis.zrange(key, 0, 2)}" for key in kept if redis.zcard(key)]
    found += [f"lease {key} {redis.hgetall(str(key))}" for key in redis.scan_iter("qt:instance.leases:*", count=1000)]
    found += [f"instance {i.id} of {i.function} on {i.node}: {i.state}" for i in cluster.client.instances()]
    nodes = cluster.client.nodes()
    found += [f"memory of {node.id}" for node in nodes if node.memory_free_bytes != node.memory_bytes]
    found += [f"node {name} is gone" for name in sorted(cluster.expected - {node.id for node in nodes})]
    return found + [f"process {process}" for process in leftover(cluster)]


def leftover(cluster: Cluster) -> list[psutil.Process]:
    """Return instances that still run, and processes of this platform that are below none of those we started."""
    ours = {process.pid for process in cluster.processes.values()}
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            known = process.pid in ours or ours & {parent.pid for parent in process.parents()}
            if _is_of(process, cluster) and (not known or process.name() == "qt-instance"):
                found.append(process)
    return found


def _is_of(process: psutil.Process, cluster: Cluster) -> bool:
    return process.environ().get("QUICKTHAW_DATA_DIR") == str(cluster.data_dir) or process.cwd().startswith(
        str(cluster.data_dir / "instances")
    )


def show(result: Result, to: Console) -> None:
    """Print what became of the calls, and what was killed."""
    table = Table(title=f"{len(result.verdicts)} calls, {result.kills.total()} kills")
    for column in ("function", "outcome", "calls", "run again", "p50 s", "longest s"):
        table.add_column(column, justify="left" if column in ("function", "outcome") else "right")
    groups = Counter((verdict.function, verdict.cause) for verdict in result.verdicts)
    for (function, cause), count in sorted(groups.items()):
        of = [v for v in result.verdicts if (v.function, v.cause) == (function, cause)]
        seconds = [v.seconds for v in of]
        again = sum(v.lives > 1 for v in of)
        numbers = (str(count), str(again), f"{statistics.median(seconds):.1f}", f"{max(seconds):.1f}")
        table.add_row(function, cause or "succeeded", *numbers)
    to.print(table)
    to.print("killed: " + ", ".join(f"{count} {role}" for role, count in result.kills.most_common()))
    for line in result.wrong:
        to.print(f"WRONG: {line}", markup=False, soft_wrap=True)


def up(data_dir: Path, *, kept_seconds: float = 3600.0) -> Iterator[Cluster]:
    """Yield a platform of two nodes with a disk each; ended invocations are kept for so long after their end."""
    for folder in (data_dir / "checkpoints", data_dir / "nodes" / "b" / "checkpoints"):
        write_checkpoint(folder)
    file = data_dir / "workers.toml"
    file.write_text(EAST_AND_WEST)
    settings = {"preload": "none", "gateway_workers": "1", "invocation_ttl": f"{kept_seconds:g}"}
    yield from running(data_dir, workers_file=file, **settings)


@click.command()
@click.option("--minutes", default=1.0, show_default=True, help="how long there is load, at least")
@click.option("--seed", default=1, show_default=True, help="of the calls and of whom is killed")
@click.option("--callers", default=CALLERS, show_default=True, help="calls at a time")
@click.option("--folder", type=click.Path(path_type=Path), help="new, for logs and data; none: they are deleted")
def main(minutes: float, seed: int, callers: int, folder: Path | None) -> None:
    """Kill a random process every two seconds under load, and look whether any call came to harm."""
    console = Console()
    with contextlib.ExitStack() as stack:
        data_dir = folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="quickthaw-chaos-")))
        data_dir.mkdir(parents=True, exist_ok=True)
        for cluster in up(data_dir.resolve(), kept_seconds=3600 + 60 * minutes):
            result = chaos(cluster, seed=seed, seconds=60 * minutes, callers=callers, progress=console.print)
            show(result, console)
            enough = result.succeeded >= SUCCEEDED_LEAST * len(result.verdicts)
            if result.wrong or not enough:
                sys.exit("chaos did harm")


if __name__ == "__main__":
    main()
