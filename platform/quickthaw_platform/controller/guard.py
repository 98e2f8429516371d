"""One round of a kind at a time, over all controllers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from redis import Redis
from redis.exceptions import LockError

from quickthaw_platform.redis_keys import RedisKey

HELD_SECONDS = 5.0
"""A round that takes longer may be joined by another: rounds are safe together, only wasteful."""


@contextlib.contextmanager
def alone(redis: Redis, name: str) -> Iterator[bool]:
    """Hold the lock of the rounds called `name`, if it is free; whether it was."""
    lock = redis.lock(RedisKey.CONTROLLER_LOCK.of(name), timeout=HELD_SECONDS)
    mine = bool(lock.acquire(blocking=False))
    try:
        yield mine
    finally:
        if mine:
            with contextlib.suppress(LockError):  # it ran out meanwhile
                lock.release()
