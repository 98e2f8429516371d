"""The edge where Redis' errors become ours: what counts as an outage, and what callers see of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from redis.exceptions import BusyLoadingError, OutOfMemoryError, ReadOnlyError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from quickthaw_platform.errors import Unavailable

OUTAGE = (RedisConnectionError, RedisTimeoutError, BusyLoadingError, ReadOnlyError, OutOfMemoryError)
"""Redis cannot serve now and may again soon: it is down, restarting, or loading its file."""

RETRY_AFTER_SECONDS = 1.0


@contextmanager
def outage_is_unavailable() -> Iterator[None]:
    """Raise Unavailable in place of an outage's errors. The call may have been carried out: its answer can be lost."""
    try:
        yield
    except OUTAGE as error:
        raise Unavailable(
            f"the platform's store does not answer ({error}); try again shortly",
            retry_after_seconds=RETRY_AFTER_SECONDS,
        ) from error
