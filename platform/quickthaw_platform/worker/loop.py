"""The agent's event loop: one thread that owns all state about processes. Others post calls to it."""

from __future__ import annotations

import heapq
import itertools
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import structlog

_log = structlog.get_logger()

Call = Callable[[], None]

MOST_WAIT_SECONDS = 3600.0
"""At a time: the kernel waits no longer than 24 days, and a timer may be later."""


class Timer:
    """A call in the future; `cancel` before then takes it back."""

    def __init__(self, call: Call) -> None:
        self._call: Call | None = call

    def cancel(self) -> None:
        """Take the call back; idempotent."""
        self._call = None

    def fire(self) -> None:
        """Make the call, once."""
        call, self._call = self._call, None
        if call is not None:
            call()


class Loop:
    """Watches descriptors, keeps timers (monotonic seconds) and makes the calls that other threads post, in order.

    `watch`, `unwatch`, `soon` and `later` are for the loop's own thread; `post` is for all.
    """

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._watched: dict[int, selectors.SelectorKey] = {}  # by descriptor: as the selector has them, found at once
        self._posted: deque[Call] = deque()
        self._timers: list[tuple[float, int, Timer]] = []
        self._numbers = itertools.count()
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._wake_reader.setblocking(False)
        self._wake_writer.setblocking(False)
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="agent-loop", daemon=True)
        self.watch(self._wake_reader.fileno(), self._woken)

    def start(self) -> None:
        """Start the loop's thread."""
        self._thread.start()

    def close(self) -> None:
        """Make the calls posted so far, then end the thread. From another thread only."""
        self.post(self._close)
        self._thread.join()

    def post(self, call: Call) -> None:
        """Have the loop make a call soon."""
        self._posted.append(call)
        try:
            self._wake_writer.send(b"!")
        except BlockingIOError:
            return  # it has plenty of wake-ups to read

    def soon(self, call: Call) -> None:
        """Make a call before the loop waits again."""
        self._posted.append(call)

    def ask(self, question: Callable[[], Any], timeout_seconds: float = 5.0) -> Any:
        """Have the loop answer a question and return the answer. From another thread only; raises TimeoutError."""
        answered = threading.Event()
        answer: list[Any] = []

        def call() -> None:
            answer.append(question())
            answered.set()

        self.post(call)
        if not answered.wait(timeout_seconds):
            raise TimeoutError("the agent's loop did not answer")
        return answer[0]

    def later(self, seconds: float, call: Call) -> Timer:
        """Make a call after so many seconds."""
        timer = Timer(call)
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._numbers), timer))
        return timer

    def watch(self, fd: int, call: Callable[[int], None], events: int = selectors.EVENT_READ) -> None:
        """Call with the ready events whenever the descriptor is ready; a second watch replaces the first."""
        change = self._selector.modify if fd in self._watched else self._selector.register
        self._watched[fd] = change(fd, events, call)

    def unwatch(self, fd: int) -> None:
        """Watch the descriptor no more; idempotent. Call it before closing the descriptor."""
        if self._watched.pop(fd, None) is not None:
            self._selector.unregister(fd)

    def _run(self) -> None:
        while not self._closing:
            for key, events in self._selector.select(self._wait_seconds()):
                if self._watched.get(key.fd) is key:  # not unwatched or replaced in this very round
                    self._guarded(key.data, events)
            while self._posted:
                self._guarded(self._posted.popleft())
            while self._timers and self._timers[0][0] <= time.monotonic():
                self._guarded(heapq.heappop(self._timers)[2].fire)
        self._selector.close()
        self._wake_reader.close()
        self._wake_writer.close()

    def _wait_seconds(self) -> float | None:
        if self._posted:  # by a timer's call
            return 0.0
        return min(max(0.0, self._timers[0][0] - time.monotonic()), MOST_WAIT_SECONDS) if self._timers else None

    @staticmethod
    def _guarded(call: Callable[..., None], *arguments: int) -> None:
        try:
            call(*arguments)
        except Exception:  # noqa: BLE001 - a fault in handling one process must not end the supervision of all others
            _log.exception("the agent's loop met an unexpected error")

    def _woken(self, _events: int) -> None:
        try:
            while self._wake_reader.recv(4096):
                pass
        except BlockingIOError:
            return

    def _close(self) -> None:
        self._closing = True
