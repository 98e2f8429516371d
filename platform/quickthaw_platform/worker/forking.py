"""What zygote and templates share: forking a child and watching a control socket and the children beside it."""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass

from quickthaw_platform.cage import kernel, orphans
from quickthaw_platform.worker import frames
from quickthaw_platform.worker.frames import Frame

INSTANCE_PATIENCE_SECONDS = 0.5
"""How long instances get to end themselves after the agent has gone, before what forked them kills them."""

TEMPLATE_PATIENCE_SECONDS = 1.0
"""The same for what a template forked: primed templates have to end their instances first."""

ZYGOTE_PATIENCE_SECONDS = 3.0
"""The same for templates."""

IDLE_SECONDS = 2.0
"""How long nothing must have been asked of a process before it does what it has put off."""


def fork(run: Callable[[], None]) -> int:
    """Fork a child that calls `run` and exits, 0 if it returned; return the child's process id."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        run()
        code = 0
    except BaseException:  # noqa: BLE001 - the child must never return into its parent's code
        traceback.print_exc()
    finally:
        os._exit(code)


@dataclass(frozen=True, slots=True)
class Child:
    """A child that is watched, and what becomes of its own children when it has ended."""

    pid: int
    forks_instances: bool = False  # they go on, and are watched here
    leaves_orphans: bool = False  # they are ended


class Parent:
    """The single-threaded loop of a process that forks children on request and reports their exits.

    `poll` and not `epoll`: an epoll set would be shared with the children.
    """

    def __init__(self, control: socket.socket, patience_seconds: float) -> None:
        self.control = control
        self._patience = patience_seconds
        self._receiver = frames.Receiver(control)
        self._children: dict[int, Child] = {}  # by pidfd
        self._leaving = False
        self._when_idle: Callable[[], None] | None = None

    def serve(
        self, handle: Callable[[Frame, frames.Receiver], None], when_idle: Callable[[], None] | None = None
    ) -> None:
        """Call `handle` for each frame until the agent's end closes, then end the children and return.

        At the frame `leave` return at once: the children go on, and the agent adopts them. `when_idle` is called once,
        when nothing has happened for IDLE_SECONDS.
        """
        self._when_idle = when_idle
        while self._round(handle):
            pass
        if not self._leaving:
            self._end_children()

    def adopt(self, child: Child) -> None:
        """Watch a child."""
        self._children[os.pidfd_open(child.pid)] = child

    def _round(self, handle: Callable[[Frame, frames.Receiver], None]) -> bool:
        for fd in self._ready():
            if fd != self.control.fileno():
                self._reap(fd)
        if not readable(self.control.fileno()):
            return True
        received = self._receiver.read()
        for frame in received or ():
            if frame["t"] == "leave":
                self._leaving = True
                return False
            handle(frame, self._receiver)
        return received is not None

    def _ready(self) -> list[int]:
        poll = select.poll()
        for fd in (self.control.fileno(), *self._children):
            poll.register(fd, select.POLLIN)
        when_idle = self._when_idle
        ready = [fd for fd, _event in poll.poll(None if when_idle is None else IDLE_SECONDS * 1000)]
        if not ready and when_idle is not None:
            self._when_idle = None
            when_idle()
        return ready

    def _reap(self, pidfd: int) -> None:
        child = self._children.pop(pidfd)
        os.close(pidfd)
        _pid, status = os.waitpid(child.pid, 0)
        if child.forks_instances:
            for pid in self._strangers():
                self.adopt(Child(pid))
        elif child.leaves_orphans and not self._a_forker_has_ended():
            orphans.end(self._strangers)
        try:
            frames.send(self.control, {"t": "exited", "pid": child.pid, "status": os.waitstatus_to_exitcode(status)})
        except OSError:
            return  # the agent has gone; the next round sees it

    def _a_forker_has_ended(self) -> bool:
        """Then what it leaves is not told from orphans that are to end; those that are go with the next child."""
        return any(child.forks_instances and readable(pidfd) for pidfd, child in self._children.items())

    def _strangers(self) -> list[int]:
        """Return the children that this process did not fork: orphans of those that it did."""
        known = {child.pid for child in self._children.values()}
        return [pid for pid in orphans.children() if pid not in known]

    def _end_children(self) -> None:
        """Children see the agent go for themselves; those that are too busy to look are killed."""
        deadline = time.monotonic() + self._patience
        while self._children and time.monotonic() < deadline:
            poll = select.poll()
            for pidfd in self._children:
                poll.register(pidfd, select.POLLIN)
            for pidfd, _event in poll.poll(max(1, int((deadline - time.monotonic()) * 1000))):
                self._reap(pidfd)
        for pidfd in self._children:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)


def readable(fd: int) -> bool:
    """Whether there is something to be read now; of a process' descriptor: whether that has ended, reaped or not."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(0))


def name_process(name: str) -> None:
    """Show a name of up to 15 characters in `ps` and `top`."""
    kernel.set_name(name)


def single_threaded_torch() -> None:
    """Keep torch, where it is loaded, from ever starting threads here: a child of a process that ran one hangs."""
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)
