"""The edge where Redis' errors become ours: what counts as an outage, and what callers see of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from quickthaw_platform.errors import Unavailable
from quickthaw_platform.redis_replies import CannotServe

OUTAGE = (RedisConnectionError, RedisTimeoutError)
"""Redis cannot serve now and may again soon: it is out of reach, or says so (`redis_replies`)."""

RETRY_AFTER_SECONDS = 1.0


@contextmanager
def outage_is_unavailable() -> Iterator[None]:
    """Raise Unavailable in place of an outage's errors. The call may have been carried out: its answer can be lost."""
    try:
        yield
    except OUTAGE as error:
        raise unavailable(error) from error


def unavailable(error: Exception) -> Unavailable:
    """Return what a caller is told of an outage."""
    what = f"cannot serve now ({error})" if isinstance(error, CannotServe) else f"does not answer ({error})"
    return Unavailable(f"the platform's store {what}; try again shortly", retry_after_seconds=RETRY_AFTER_SECONDS)
