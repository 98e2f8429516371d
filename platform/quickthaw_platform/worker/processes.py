"""Processes that the agent answers for: children, grandchildren and orphans, each watched by a pidfd."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable

from quickthaw_platform.cage import kernel
from quickthaw_platform.worker.loop import Loop

STATUS_PATIENCE_SECONDS = 0.5
"""How long the parent of a dead process gets to report its exit status."""

SIGNALLED = 128
"""Added to a signal's number it is the status with which shells, and caged instances, tell of it."""

_MEANINGS: dict[int, str] = {
    signal.SIGKILL: "out of memory?",
    signal.SIGSEGV: "it used memory that is not its own: a fault of native code, or recursion too deep for its stack",
    signal.SIGBUS: "it used memory that cannot be had: a file that was cut, or a full disk or /dev/shm",
    signal.SIGSYS: "it made a system call that functions may not make",
    signal.SIGABRT: "native code gave up; what it said stands in the function's log",
    signal.SIGILL: "it used instructions that this processor does not have",
}


def become_subreaper() -> None:
    """Adopt the orphans of this process's descendants, so that a dead template's instances are reaped here."""
    kernel.become_subreaper()


def describe_exit(status: int | None, *, out_of_memory: bool = False, fault: str | None = None) -> str:
    """Say how a process ended: `status` is its exit code, or minus the number of the signal; None: not known.

    `out_of_memory` says that the kernel killed it for what it and those of its control group used together, and `fault`
    what it did that its agent ended it for.
    """
    if out_of_memory:
        return "was killed for taking, with all its processes together, more than its function's `memory` (raise that)"
    if fault is not None:
        return f"was ended, for {fault}"
    if status is None:
        return "ended"
    if status < 0:
        return f"was killed by signal {-status} ({_meaning(-status)})"
    meant = _meaning(status - SIGNALLED) if status > SIGNALLED else ""
    return f"exited with status {status}" + (f", as at signal {status - SIGNALLED} ({meant})" if meant else "")


def _meaning(number: int) -> str:
    """Say in words what a signal tells of the process that it ended; '' for what is no signal."""
    try:
        return _MEANINGS.get(number) or (signal.strsignal(number) or "").lower()
    except ValueError:
        return ""


class WatchedProcess:
    """One process: hears of its end and finds out how it ended. For the loop's thread only."""

    def __init__(self, loop: Loop, pid: int, on_exit: Callable[[int | None], None]) -> None:
        """`on_exit` is called once with the exit code, minus the signal's number, or None where nobody knows it."""
        self.pid = pid
        self._loop = loop
        self._on_exit = on_exit
        self._status: int | None = None
        self._over = False
        self._pidfd: int | None = None
        self.ended_at: float | None = None  # when that was noticed, by the monotonic clock
        with contextlib.suppress(ProcessLookupError):
            self._pidfd = os.pidfd_open(pid)
        if self._pidfd is None:
            self._has_ended()
        else:
            loop.watch(self._pidfd, lambda _events: self._has_ended())

    def kill(self) -> None:
        """End the process without asking it; one that has ended is ignored."""
        if self._pidfd is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def reported(self, status: int) -> None:
        """Take the exit status that the process's parent reported."""
        self._status = status
        self._finish()

    def _has_ended(self) -> None:
        self._release()
        self.ended_at = time.monotonic()
        if self._reaped() or self._status is not None:
            self._finish()
        else:  # not our child: its parent reports, or goes without a word, having reaped it or leaving that to us
            self._loop.later(STATUS_PATIENCE_SECONDS, self._give_up_waiting)

    def _give_up_waiting(self) -> None:
        self._reaped()
        self._finish()

    def _reaped(self) -> bool:
        """Take the status of a process that has ended, if it is our child by now."""
        try:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
        except ChildProcessError:
            return False
        if pid:
            self._status = os.waitstatus_to_exitcode(status)
        return True

    def _finish(self) -> None:
        if not self._over:
            self._over = True
            self._release()
            self._on_exit(self._status)

    def _release(self) -> None:
        if self._pidfd is not None:
            self._loop.unwatch(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = None
