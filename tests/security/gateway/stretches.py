"""How long a gateway's loop is held: the most processor time between two moments when others may go on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import gevent
import greenlet
from gevent.hub import Hub

T = TypeVar("T")

LONGEST_SECONDS = 0.1
"""Of processor time that a request may take between two moments when others go on."""

TRIES = 5
"""Now and then the machine's other work makes a stretch take twice as long: what it takes, it takes each time."""


class Stretches:
    """Watches the greenlets of this thread. Processor time, so that a busy machine changes little.

    Nothing here is patched for gevent, so waits for Redis and for other processes are no moments when others go on: a
    gateway's loop is never held for longer than what is measured.
    """

    def __init__(self) -> None:
        self.longest = 0.0
        self._began = 0.0

    def watch(self, work: Callable[..., T], *arguments: Any, **named: Any) -> T:
        """Return what a piece of work gives that is done as a gateway's server does it: in a greenlet."""
        before = greenlet.settrace(self._switched)
        try:
            return gevent.spawn(work, *arguments, **named).get()
        finally:
            greenlet.settrace(before)

    def shortest(self, work: Callable[[], T]) -> tuple[T, float]:
        """Return what a piece of work gives, and how long it held the loop in the best of some tries."""
        least = float("inf")
        for _ in range(TRIES):
            self.longest = 0.0
            found = self.watch(work)
            least = min(least, self.longest)
            if least < LONGEST_SECONDS:
                break
        return found, least

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Leave out what is not the gateway's own work."""
        began = time.thread_time()
        yield
        self._began += time.thread_time() - began

    def _switched(self, event: str, switch: tuple[Any, Any]) -> None:
        now = time.thread_time()
        if isinstance(switch[1], Hub):
            self.longest = max(self.longest, now - self._began)
        self._began = now
