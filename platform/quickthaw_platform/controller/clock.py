"""The time that all controllers agree on."""

from __future__ import annotations

from redis import Redis

from quickthaw_platform.invocations.outage import outage_is_unavailable


def redis_time(redis: Redis) -> float:
    """Return Unix seconds by Redis' clock; Unavailable when it cannot be reached."""
    with outage_is_unavailable():
        seconds, micros = redis.time()
    return seconds + micros / 1e6
