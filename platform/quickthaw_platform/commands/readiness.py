"""Waiting for the parts of `quickthaw up`: until they are there, or show why they will not be."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from quickthaw_platform.commands.complaints import Complaints
from quickthaw_platform.commands.log_follower import last_lines
from quickthaw_platform.commands.supervisor import Child, Supervisor
from quickthaw_platform.errors import Unavailable

READY_SECONDS = 180.0
TOLD_SECONDS = (10.0, 30.0, 90.0)
"""When whoever waits is told what processes have logged as errors; from the second time on also that they have not."""

POLL_SECONDS = 0.1
SHOWN_LOG_LINES = 15


class Readiness:
    """The waits of one start. Where `interrupted` says so in one of them, KeyboardInterrupt is raised.

    `report` is told what is waited for, and `warn` why that may be late.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        interrupted: Callable[[], bool],
        report: Callable[[str], None],
        warn: Callable[[str], None],
    ) -> None:
        self._supervisor = supervisor
        self._interrupted = interrupted
        self._report = report
        self._warn = warn
        self._complaints = Complaints(supervisor.log_dir)

    @contextlib.contextmanager
    def of(self, what: str, child: Child) -> Iterator[Callable[[], bool]]:
        """Give what says whether one may still wait for a process; when one gives up, its log's end is told."""
        tell = self._teller(what)
        try:
            yield lambda: child.alive and not self._interrupted() and tell()
        except Unavailable as error:
            if self._interrupted():
                raise KeyboardInterrupt from error
            raise Unavailable(f"{error}; {_end(child)}") from error

    def wait(self, what: str, there: Callable[[], bool], check: Callable[[], object]) -> None:
        """Return when `there` says so; Unavailable when a process ends. `check` raises where waiting is of no use."""
        tell = self._teller(what)
        deadline = time.monotonic() + READY_SECONDS
        while not there():
            if self._interrupted():
                raise KeyboardInterrupt
            for child in self._supervisor.tend():
                raise Unavailable(f"{what} does not come: {_end(child)}")
            check()
            tell()
            if time.monotonic() > deadline:
                raise Unavailable(f"{what} was not there after {READY_SECONDS:.0f} s; {self._known()}")
            time.sleep(POLL_SECONDS)

    def _teller(self, what: str) -> Callable[[], bool]:
        """Report what is waited for, and return what tells, at its times, why it is late; that is always true."""
        self._report(f"waiting for {what}")
        began, due = time.monotonic(), list(TOLD_SECONDS)

        def tell() -> bool:
            waited = time.monotonic() - began
            if due and waited >= due[0]:
                first = due.pop(0) == TOLD_SECONDS[0]
                if not first or self._complaints.read():
                    self._warn(f"still waiting for {what} after {waited:.0f} s; {self._known()}")
            return True

        return tell

    def _known(self) -> str:
        said = self._complaints.read() or ["no process has logged an error"]
        return "; ".join((*said, f"the logs are in {self._supervisor.log_dir}"))


def _end(child: Child) -> str:
    lines = last_lines(child.log, SHOWN_LOG_LINES) or "(nothing)"
    if child.alive:
        return f"the end of the log of {child.name}:\n{lines}"
    status = child.popen.returncode if child.popen else "unknown"
    return f"{child.name} ended with status {status} while starting:\n{lines}"
