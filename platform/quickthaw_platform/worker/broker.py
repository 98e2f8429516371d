"""Celery's way to Redis, mended: a channel whose connection broke says so, instead of failing as a bug would.

kombu (5.6) takes the connection away from the channels of a connection that broke. Whoever still holds one, an
acknowledgement under way or another thread that publishes, then met an AttributeError: no outage to Celery, so that a
worker ended whenever Redis was killed at a bad moment, and a call was answered with an internal error.
"""

from __future__ import annotations

from typing import Any

from kombu.transport import TRANSPORT_ALIASES, redis
from redis.exceptions import ConnectionError as RedisConnectionError


class Channel(redis.Channel):
    """Raises redis' ConnectionError when it is used after its connection broke."""

    def _connparams(self, asynchronous: bool = False) -> Any:
        if self.connection is None:
            raise RedisConnectionError("the connection to the broker has broken")
        return super()._connparams(asynchronous)  # type: ignore[misc]  # its stubs leave it out


class Transport(redis.Transport):
    """kombu's, with that channel."""

    Channel = Channel


def install() -> None:
    """Have every connection to Redis that kombu makes from now on use this transport."""
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = f"{__name__}:Transport"
