"""Instances that take more than they may: `python -m tests.security.bounded GROUP LEVEL USER WORKDIR`.

This process joins the group whose folder is GROUP and becomes USER (0: as it is), to whom that is delegated. Beside
each that takes too much there is a bystander. What became of all of them is printed as JSON.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from quickthaw.types import Isolation, Network
from quickthaw_platform.cage import kernel
from quickthaw_platform.cage.entering import enter
from quickthaw_platform.cage.forks import fork_for
from quickthaw_platform.cage.order import CageOrder
from quickthaw_platform.control_groups.group import Group
from quickthaw_platform.control_groups.groups import ControlGroups
from quickthaw_platform.control_groups.joining import Joining
from quickthaw_platform.control_groups.limits import Limits
from quickthaw_platform.worker import forking
from tests.security import caged

MEMORY_BYTES = 96 << 20
PART_BYTES = 40 << 20
"""What each process of the greedy instance takes: no two of them are more than MEMORY_BYTES, three are."""

TASKS = 24
WEIGHTS = (1.0, 3.0)
MEASURED_SECONDS = 2.0
"""Of processor time, which the two that compute get together."""

_MANY_TASKS = 4096
_BEGUN_SECONDS = 0.2
_PATIENCE_SECONDS = 30.0

Deed = Callable[[int], None]
"""What an instance does; it gets the descriptor of its report."""


class Started(NamedTuple):
    """An instance that is in its group."""

    group: Group
    pid: int
    report: int


def main(own: Path, level: Isolation, user: int, workdir: Path) -> dict[str, Any]:
    """Return what became of those that take too much memory, too many tasks, and all the processor's time."""
    (own / "cgroup.procs").write_text("0")
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # else two that compute would not be in each other's way
    if user:
        caged.become(user)
    kernel.become_subreaper()
    groups = ControlGroups()
    groups.start()
    start = partial(_start, groups, level, workdir)
    return {"memory": _memory(start), "tasks": _tasks(start), "shares": _shares(start), "left": _left(groups)}


def _memory(start: Callable[[str, Limits, Deed], Started]) -> dict[str, Any]:
    with _bystander(start) as answer:
        greedy = start("greedy", Limits(MEMORY_BYTES, _MANY_TASKS, 1.0), _take_memory)
        status = os.waitstatus_to_exitcode(os.waitpid(greedy.pid, 0)[1])
        _wait_for(lambda: not _processes(greedy.group))
        told = greedy.group.ran_out_of_memory
        return {"status": status, "told": told, "gone": greedy.group.end(), "bystander": answer()}


def _tasks(start: Callable[[str, Limits, Deed], Started]) -> dict[str, Any]:
    with _bystander(start) as answer:
        forking_on = start("forking", Limits(None, TASKS, 1.0), _fork_on)
        with os.fdopen(forking_on.report) as report:
            refusals = [report.readline().strip() for _ in range(TASKS)]  # each of its processes says so once
        there = len(_processes(forking_on.group))
        return {"refusals": refusals, "there": there, "bystander": answer(), "gone": forking_on.group.end()}


def _shares(start: Callable[[str, Limits, Deed], Started]) -> dict[str, Any]:
    both = [start(f"weight-{weight}", Limits(None, _MANY_TASKS, weight), _compute).group for weight in WEIGHTS]
    _wait_for(lambda: all(_used_seconds(group) > _BEGUN_SECONDS for group in both))
    before = [_used_seconds(group) for group in both]
    _wait_for(lambda: sum(map(_used_seconds, both)) - sum(before) >= MEASURED_SECONDS)
    used = [_used_seconds(group) - then for group, then in zip(both, before, strict=True)]
    ended = [group.end() for group in both]
    return {"used": used, "gone": all(ended)}


def _left(groups: ControlGroups) -> list[str]:
    assert groups.delegation.folder is not None
    return [folder.name for folder in groups.delegation.folder.glob("quickthaw-instance-*")]


@contextlib.contextmanager
def _bystander(start: Callable[[str, Limits, Deed], Started]) -> Iterator[Callable[[], str]]:
    """Have an instance that answers when it is asked, for which it forks."""
    asked, ask = os.pipe()

    def wait_and_answer(report: int) -> None:
        os.read(asked, 1)
        if os.fork() == 0:
            os.write(report, b"lives")
            os._exit(0)
        os.wait()

    bystander = start("bystander", Limits(MEMORY_BYTES, TASKS, 1.0), wait_and_answer)

    def answer() -> str:
        os.write(ask, b"?")
        return os.read(bystander.report, 100).decode()

    yield answer
    for fd in (asked, ask, bystander.report):
        os.close(fd)
    bystander.group.end()


def _start(groups: ControlGroups, level: Isolation, workdir: Path, name: str, limits: Limits, deed: Deed) -> Started:
    group = groups.make(name, limits, ends_anyway=False)
    assert group is not None, groups.delegation.why
    own = workdir / name
    own.mkdir(exist_ok=True)
    reader, writer = os.pipe()
    joining = Joining(group.order.frame())
    cage = CageOrder(level, Network.HOST, caged.SCRATCH_BYTES, str(own), tasks=_MANY_TASKS)

    def enter_and_do(pid: int) -> None:
        enter(cage, pid)
        joining.wait()
        deed(writer)

    pid = fork_for(cage, forking.fork, enter_and_do, lambda _pid: None)
    joining.move(pid)
    joining.close()
    os.close(writer)
    return Started(group, pid, reader)


def _take_memory(report: int) -> None:
    for _ in range(3):
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                _held = b"x" * PART_BYTES
            signal.pause()
    signal.pause()


def _fork_on(report: int) -> None:
    while True:
        try:
            os.fork()
        except OSError as error:
            os.write(report, f"{type(error).__name__}\n".encode())
            signal.pause()


def _compute(report: int) -> None:
    while True:
        pass


def _processes(group: Group) -> list[str]:
    return (group.folder / "cgroup.procs").read_text().split()


def _used_seconds(group: Group) -> float:
    lines = (line.split() for line in (group.folder / "cpu.stat").read_text().splitlines())
    return next(int(value) for name, value in lines if name == "usage_usec") / 1e6


def _wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), Isolation(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))))
