"""The agent's side of the zygote: starts it, starts it again when it dies, and asks it for templates."""

from __future__ import annotations

import os
import socket
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence

import structlog

from quickthaw.types import Isolation
from quickthaw_platform.cage.levels import Grant
from quickthaw_platform.worker import linked_process
from quickthaw_platform.worker.frames import Frame
from quickthaw_platform.worker.linked_process import LinkedProcess
from quickthaw_platform.worker.loop import Loop
from quickthaw_platform.worker.processes import describe_exit

FIRST_BACKOFF_SECONDS = 0.1
LAST_BACKOFF_SECONDS = 10.0
STEADY_SECONDS = 30.0
"""A zygote that lived this long did not die of its start; the backoff begins anew."""

WAITING = {"GOMP_SPINCOUNT": "2000"}
"""Compute threads spin for tens of microseconds while they wait for each other, then sleep. torch's default spins for
milliseconds, which starves every other instance of the node; spinning for less than lies between two products wakes a
thread for each of them. On two cores, SmolLM2 in bf16, ms for a step of eight streams, in one instance and in two at a
time: 1000 gives 253 and 328, this 207 and 375, 4000 278 and 521; in float32 1000 209 and 268, this 139 and 262, 5000
159 and 409; in a trial before, 1000 204 and 225, torch's default 125 and 596.
"""

_log = structlog.get_logger()


def environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """Return the zygote's environment, which user code can read in /proc/self/environ."""
    waiting = {} if "OMP_WAIT_POLICY" in inherited else WAITING
    return waiting | linked_process.environment(inherited)


class ZygoteClient:
    """For the loop's thread only, once started."""

    def __init__(
        self,
        loop: Loop,
        modules: Sequence[str],
        *,
        isolation: Isolation | None,
        on_forked: Callable[[str, int], None],
        on_exited: Callable[[int, int], None],
        on_ready: Callable[[Grant], None],
    ) -> None:
        """`on_forked` takes (template key, pid), `on_exited` (pid, status), `on_ready` what instances are isolated by.

        `isolation` is the level that is wanted; None: the strongest that can be.
        """
        self._loop = loop
        self._modules = modules
        self._isolation = "" if isolation is None else isolation.value
        self._on_forked = on_forked
        self._on_exited = on_exited
        self._on_ready = on_ready
        self._process: LinkedProcess | None = None
        self._orders: deque[tuple[Frame, socket.socket, Sequence[int]]] = deque()
        self._started = 0.0
        self._backoff = FIRST_BACKOFF_SECONDS
        self._closing = False

    @property
    def pid(self) -> int | None:
        """The zygote's process id; None while there is none."""
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """Start the process; orders given before it is up wait. While it imports it dies with the calling thread."""
        if self._closing:
            return
        self._started = time.monotonic()
        self._process = LinkedProcess(
            self._loop,
            "quickthaw_platform.worker.zygote",
            [self._isolation, *self._modules],
            environment=environment(os.environ),
            on_frame=self._take,
            on_death=self._died,
        )
        while self._orders:
            self._send(*self._orders.popleft())

    def fork_template(self, order: Frame, end: socket.socket, files: Sequence[int]) -> None:
        """Have a template forked, with `end` as its control socket; if it fails, the other end closes.

        `files` are the descriptors of its checkpoint, which stay open here at least until it has ended.
        """
        if self._process is None:
            self._orders.append((order, end, files))
        else:
            self._send(order, end, files)

    def close(self) -> None:
        """Let the zygote end (it sees its socket close), and start no other."""
        self._closing = True
        if self._process is not None:
            self._process.link.close()

    def kill(self) -> None:
        """End it without asking."""
        if self._process is not None:
            self._process.kill()

    def _send(self, order: Frame, end: socket.socket, files: Sequence[int]) -> None:
        if self._process is not None:
            self._process.link.send(order, [end, *files])
        end.close()

    def _take(self, frame: Frame) -> None:
        match frame["t"]:
            case "ready":
                self._on_ready(Grant(Isolation(frame["isolation"]), frame["why"]))
            case "forked":
                self._on_forked(frame["key"], frame["pid"])
            case "exited":
                self._on_exited(frame["pid"], frame["status"])

    def _died(self, status: int | None) -> None:
        self._process = None
        if self._closing:
            return
        if time.monotonic() - self._started > STEADY_SECONDS:
            self._backoff = FIRST_BACKOFF_SECONDS
        _log.error("the zygote ended; starting another", how=describe_exit(status), after_seconds=self._backoff)
        self._loop.later(self._backoff, self.start)
        self._backoff = min(self._backoff * 2, LAST_BACKOFF_SECONDS)
