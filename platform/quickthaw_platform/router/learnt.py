"""What was learnt of each function from its starts and calls: read by the router, written by the nodes' agents."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

from redis import Redis
from redis.client import Pipeline

from quickthaw_platform.averages import Average
from quickthaw_platform.contracts import FunctionStats, Way
from quickthaw_platform.invocations.outage import outage_is_unavailable

SERVICE = "service"
"""The field for how long an invocation holds its slot."""

TTL_SECONDS = 30 * 86_400
"""What was learnt of a function that has not run for so long is forgotten."""

MAX_SECONDS = 86_400.0
"""What is said to have taken longer was measured wrongly."""

_INIT = {f"init.{way.value}": way for way in Way}


def learnt_key(function: str) -> str:
    """Return the key of the hash: field to `Average.to_text()`."""
    return f"qt:function:{function}:learnt"


def init_field(way: Way) -> str:
    """Return the field for the seconds of a start beyond waiting for and moving bytes."""
    return f"init.{way.value}"


def parse(stored: Mapping[str, str]) -> FunctionStats:
    """Read the hash; what is not there, or broken, counts as not learnt yet. Pure."""
    averages = {name: average for name, text in stored.items() if (average := _parse(text)) is not None}
    service = averages.get(SERVICE)
    return FunctionStats(
        init_seconds={way: averages[name].value for name, way in _INIT.items() if name in averages},
        service_seconds=None if service is None else service.value,
    )


class LearntStore:
    """Takes measurements in. Any number of nodes may do so at once: none is lost."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def note(self, function: str, samples: Iterable[tuple[str, float]]) -> None:
        """Take (field, seconds) in, oldest first; absurd ones are dropped. Unavailable when Redis is."""
        sane = [(name, seconds) for name, seconds in samples if _is_sane(seconds)]
        if not sane:
            return
        key = learnt_key(function)

        def change(pipe: Pipeline) -> None:
            stored = cast("dict[str, str]", pipe.hgetall(key))
            pipe.multi()
            pipe.hset(key, mapping=cast("Any", _with_samples(stored, sane)))
            pipe.expire(key, TTL_SECONDS)

        with outage_is_unavailable():
            self._redis.transaction(cast("Callable[[Pipeline], Any]", change), key)


def _with_samples(stored: Mapping[str, str], samples: Iterable[tuple[str, float]]) -> dict[str, str]:
    averages: dict[str, Average] = {}
    for name, seconds in samples:
        known = averages.get(name) or _parse(stored.get(name, ""))
        averages[name] = Average.of(seconds) if known is None else known.with_sample(seconds)
    return {name: average.to_text() for name, average in averages.items()}


def _parse(text: str) -> Average | None:
    try:
        return Average.parse(text)
    except ValueError:
        return None


def _is_sane(seconds: float) -> bool:
    return math.isfinite(seconds) and 0 < seconds <= MAX_SECONDS
