"""Finds out which level of isolation this node can give, by entering the cage."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from quickthaw.errors import QuickthawError
from quickthaw.types import Isolation, Network
from quickthaw_platform.cage import kernel
from quickthaw_platform.cage.entering import enter
from quickthaw_platform.cage.forks import fork_for
from quickthaw_platform.cage.levels import Grant, levels_below
from quickthaw_platform.cage.namespaces import Fork
from quickthaw_platform.cage.order import CageOrder

SCRATCH_BYTES = 1 << 20
_MUST_BE_READ = (os.__file__, __file__)


def probe(wanted: Isolation | None, fork: Fork) -> Grant:
    """Return the strongest level that can be entered, at most the wanted one, and why no stronger one can.

    `fork` is as in `fork_for`. Needs a process of one thread; takes some tens of milliseconds.
    """
    why = ""
    for level in levels_below(wanted):
        problem = "" if level is Isolation.NONE else _try(level, fork)
        if not problem:
            return Grant(level, why)
        why = why or problem
    return Grant(Isolation.NONE, why)


def _try(level: Isolation, fork: Fork) -> str:
    """Return what is in the way of a level; nothing: it was entered."""
    reader, writer = os.pipe()
    pid = fork(lambda: _attempt(level, fork, writer))
    os.close(writer)
    with os.fdopen(reader, "rb") as report:
        said = report.read().decode(errors="replace")
    os.waitpid(pid, 0)
    return "" if said == "entered" else said or "the process that tried it was killed"


def _attempt(level: Isolation, fork: Fork, report: int) -> None:
    kernel.become_subreaper()
    with tempfile.TemporaryDirectory(prefix="quickthaw-cage-") as workdir:
        order = CageOrder(level, Network.NONE, SCRATCH_BYTES, workdir)

        def run(pid: int) -> None:
            try:
                enter(order, pid)
                _look(Path(workdir))
            except (QuickthawError, OSError) as error:
                os.write(report, str(error).encode())
            else:
                os.write(report, b"entered")

        try:
            os.waitpid(fork_for(order, fork, run, lambda _pid: None), 0)
        except QuickthawError as error:
            os.write(report, str(error).encode())


def _look(workdir: Path) -> None:
    """Read what every function reads, and write. Raises OSError."""
    for path in _MUST_BE_READ:
        with Path(path).open("rb") as file:
            file.read(1)
    (workdir / "probe").write_bytes(b"written")
