"""The one way to connect to Redis or Valkey, for every process of the platform."""

from __future__ import annotations

from typing import Any

from redis import Redis
from redis.backoff import ExponentialBackoff
from redis.connection import BlockingConnectionPool
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.retry import Retry

from quickthaw_platform import redis_replies
from quickthaw_platform.errors import SettingsInvalid
from quickthaw_platform.settings import Settings

SOCKET_TIMEOUT_SECONDS = 20.0
"""Longer than any blocking read of ours: a shorter one would cut those off."""

CONNECT_TIMEOUT_SECONDS = 2.0
HEALTH_CHECK_SECONDS = 15

MAX_CONNECTIONS = 10_000
"""As many as Redis itself accepts by default. redis-py stops at 100."""

GATEWAY_CONNECTIONS = 64
"""Of one gateway process, however many requests it serves: each takes one for the time of a command.

Too few are worse than slow: requests wait for one at each of their commands, in no order, and some are overtaken again
and again, which the 99th percentile of `benchmarks.overhead` shows at 64 streams.
"""


def connect(settings: Settings, most_connections: int | None = None) -> Redis:
    """Return a client that answers str, opens as many connections as are in use, and connects at its first command.

    With `most_connections` there are never more, and whoever finds all of them in use waits for one.
    A connection that broke while it lay idle is replaced once, silently; an outage raises ConnectionError at once, and
    so does a Redis that says that it cannot serve now.
    """
    redis_replies.install()
    if settings.redis_url is None:
        raise SettingsInvalid("redis_url is not set; start with `quickthaw up`, or set QUICKTHAW_REDIS_URL")
    options: dict[str, Any] = {
        "decode_responses": True,
        "socket_timeout": SOCKET_TIMEOUT_SECONDS,
        "socket_connect_timeout": CONNECT_TIMEOUT_SECONDS,
        "health_check_interval": HEALTH_CHECK_SECONDS,
        "retry": Retry(ExponentialBackoff(cap=0.1, base=0.01), retries=1),
        "retry_on_error": [RedisConnectionError],
    }
    if most_connections is None:
        return Redis.from_url(settings.redis_url, max_connections=MAX_CONNECTIONS, **options)
    shared = {"max_connections": most_connections, "timeout": SOCKET_TIMEOUT_SECONDS}
    return Redis.from_pool(BlockingConnectionPool.from_url(settings.redis_url, **shared, **options))
