"""How well the router guesses: every start that had an estimate, as predicted and as it was."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, cast

from redis import Redis

from quickthaw.resources import EstimateError, RouterAccuracy
from quickthaw_platform.contracts import Way
from quickthaw_platform.invocations.outage import outage_is_unavailable
from quickthaw_platform.redis_keys import RedisKey

KEY = RedisKey.ROUTER_ACCURACY
MAX_ROWS = 10_000
"""The stream keeps about so many of the last starts."""

_START_ROWS = 2_000
"""How many of the starts after an invocation got its slot are looked through for its own."""


@dataclass(frozen=True, slots=True)
class PredictedStart:
    """A start that is over. Both times are from the reservation until the instance could serve, its weights there."""

    function: str
    node: str
    instance: str
    way: Way  # that it went in the end
    predicted: float
    actual: float

    @property
    def error(self) -> float:
        """How far off the prediction was, as a share of what it took; above 0: it took less."""
        return (self.predicted - self.actual) / self.actual


def summarise(rows: Iterable[PredictedStart]) -> RouterAccuracy:
    """Return the errors' percentiles, overall and by way. Pure."""
    errors: defaultdict[Way, list[float]] = defaultdict(list)
    for row in rows:
        errors[row.way].append(row.error)
    everything = [error for found in errors.values() for error in found]
    return RouterAccuracy(
        overall=_summary(everything) if everything else None,
        by_way={way.value: _summary(errors[way]) for way in Way if way in errors},
    )


class AccuracyLog:
    """The stream of finished starts that had an estimate."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def append(self, rows: Sequence[PredictedStart]) -> None:
        """Add starts, oldest first. Unavailable when Redis is."""
        with outage_is_unavailable(), self._redis.pipeline(transaction=False) as pipe:
            for row in rows:
                pipe.xadd(KEY, cast("Any", _fields(row)), maxlen=MAX_ROWS, approximate=True)
            pipe.execute()

    def rows(self) -> list[PredictedStart]:
        """Return what is kept, oldest first."""
        with outage_is_unavailable():
            return _parse_all(self._redis.xrange(KEY))

    def of_instance(self, instance: str, since: float) -> PredictedStart | None:
        """Return an instance's start; `since` (Unix seconds) is a time before its end, and not long before it."""
        with outage_is_unavailable():
            found = _parse_all(self._redis.xrange(KEY, min=int(since * 1000), count=_START_ROWS))
        return next((row for row in found if row.instance == instance), None)


def _fields(row: PredictedStart) -> dict[str, str]:
    return {
        "function": row.function,
        "node": row.node,
        "instance": row.instance,
        "way": row.way.value,
        "predicted": f"{row.predicted:.6f}",
        "actual": f"{row.actual:.6f}",
    }


_WAYS = frozenset(Way)


def _parse_all(entries: Any) -> list[PredictedStart]:
    """Read the rows of all entries; a way that only another release knows is left out."""
    return [_parse(fields) for _, fields in entries if fields["way"] in _WAYS]


def _parse(fields: Mapping[str, str]) -> PredictedStart:
    times = {name: float(fields[name]) for name in ("predicted", "actual")}
    return PredictedStart(fields["function"], fields["node"], fields["instance"], Way(fields["way"]), **times)


def _summary(errors: Sequence[float]) -> EstimateError:
    sizes = sorted(map(abs, errors))
    p50, p90, p99 = (_percentile(sizes, share) for share in (0.5, 0.9, 0.99))
    return EstimateError(starts=len(errors), p50=p50, p90=p90, p99=p99, median_signed=median(errors))


def _percentile(ordered: Sequence[float], share: float) -> float:
    """Return the least value that so large a share of all does not exceed (nearest rank)."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
