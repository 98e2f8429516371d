"""Turns at the gateway's loop: work that grows with what was sent or stored gives way to others now and then."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import gevent
from greenlet import getcurrent

TURN_SECONDS = 0.01
"""How long a request may compute before it gives way."""

T = TypeVar("T")

_began = float("-inf")


def begin() -> None:
    """Begin a turn: the loop has just come to this request."""
    global _began
    _began = time.perf_counter()


def give_way() -> None:
    """Let other requests go on where this turn has lasted long. Elsewhere than in greenlets nobody else is there."""
    if time.perf_counter() - _began < TURN_SECONDS:
        return
    if isinstance(getcurrent(), gevent.Greenlet):
        gevent.sleep(0)
    begin()


def beside(work: Callable[[], T]) -> T:
    """Return what a piece of work gives that cannot give way: Python has it take turns with the loop, in a thread.

    It may share nothing with the loop that waits, such as a lock or a connection.
    """
    return gevent.get_hub().threadpool.apply(work) if isinstance(getcurrent(), gevent.Greenlet) else work()


def in_turns(items: Iterable[T]) -> Iterator[T]:
    """Yield the items, giving way between them."""
    for item in items:
        yield item
        give_way()
