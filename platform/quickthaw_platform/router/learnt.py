"""What was learnt of each function from its starts and calls: read by the router, written by the nodes' agents."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

from redis import Redis
from redis.client import Pipeline

from quickthaw_platform.averages import Average
from quickthaw_platform.contracts import FunctionStats, MigrationCost, Way
from quickthaw_platform.invocations.outage import outage_is_unavailable
from quickthaw_platform.redis_keys import RedisKey

SERVICE = "service"
"""The field for how long an invocation holds its slot."""

TTL_SECONDS = 30 * 86_400
"""What was learnt of a function that has not run for so long is forgotten."""

MIGRATION_KEY = RedisKey.MIGRATION_LEARNT
PER_TOKEN = "per_token"
FIXED = "fixed"
SHORT_TOKENS = 128
GUESSED_PER_TOKEN_SECONDS = 0.005
GUESSED_FIXED_SECONDS = 0.5

MAX_SECONDS = 86_400.0
"""What is said to have taken longer was measured wrongly."""

_INIT = {f"init.{way.value}": way for way in Way}


def learnt_key(function: str) -> str:
    """Return the key of the hash: field to `Average.to_text()`."""
    return RedisKey.FUNCTION_LEARNT.of(function)


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


def migration_cost(stored: Mapping[str, str]) -> MigrationCost:
    """Read what was learnt of moving invocations; a cautious guess for what was not. Pure."""
    found = {name: average.value for name, text in stored.items() if (average := _parse(text)) is not None}
    return MigrationCost(found.get(PER_TOKEN, GUESSED_PER_TOKEN_SECONDS), found.get(FIXED, GUESSED_FIXED_SECONDS))


class LearntStore:
    """Takes measurements in. Any number of nodes may do so at once: none is lost."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def note_move(self, tokens: int, seconds: float) -> None:
        """Take in how long it took to move an invocation of so many tokens. Unavailable when Redis is.

        Of `a · tokens + b` a short one teaches b, a long one a.
        """
        short = tokens < SHORT_TOKENS
        self._take(MIGRATION_KEY, [(FIXED, seconds) if short else (PER_TOKEN, seconds / tokens)])

    def note(self, function: str, samples: Iterable[tuple[str, float]]) -> None:
        """Take (field, seconds) in, oldest first; absurd ones are dropped. Unavailable when Redis is."""
        self._take(learnt_key(function), samples)

    def _take(self, key: str, samples: Iterable[tuple[str, float]]) -> None:
        sane = [(name, seconds) for name, seconds in samples if _is_sane(seconds)]
        if not sane:
            return

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
