"""Old usage in fewer records: those of an hour that are alike become one. Nothing that was used is lost or doubled."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from typing import cast

from redis import Redis
from redis.client import Pipeline
from redis.exceptions import WatchError

from quickthaw_platform.invocations.outage import outage_is_unavailable
from quickthaw_platform.metering.usage.records import HOUR_SECONDS, Subject, UsageRecord, merged
from quickthaw_platform.metering.usage.store import (
    BATCH,
    HOURS,
    SUM_PREFIX,
    TIMES,
    UNROLLED,
    expires_at,
    hour_key,
    rolled_key,
)

MAX_HOURS = 48
"""Hours rolled up in one round; the rest waits for the next."""


class RollUp:
    """`round` may be repeated, cut off, and run twice at a time."""

    def __init__(self, redis: Redis, *, detail_seconds: float, retention_seconds: float) -> None:
        """Hours that ended longer ago than `detail_seconds` are rolled up."""
        self._redis = redis
        self._detail = detail_seconds
        self._retention = retention_seconds

    def round(self, now: float) -> int:
        """Roll up what is old at `now` (Unix seconds, Redis' clock); returns how many records became fewer.

        A record that is not final stays as it is: its instance's worker may come back from an outage with the rest.
        """
        oldest = int((now - self._retention) // HOUR_SECONDS) - 1
        latest = int((now - self._detail) // HOUR_SECONDS) - 1
        with outage_is_unavailable():
            self._redis.zremrangebyscore(HOURS, "-inf", oldest - 1)
            self._redis.zremrangebyscore(UNROLLED, "-inf", oldest - 1)
            hours = cast("list[str]", self._redis.zrangebyscore(UNROLLED, "-inf", latest, 0, MAX_HOURS))
            return sum(self._hour(int(hour)) for hour in hours)

    def _hour(self, hour: int) -> int:
        done = 0
        while True:
            names = self._final(self._redis, hour)
            for batch in range(0, len(names), BATCH):
                done += self._merge(hour, names[batch : batch + BATCH])
            with self._redis.pipeline() as pipe:
                try:
                    pipe.watch(hour_key(hour))  # type: ignore[no-untyped-call]
                    if not self._final(pipe, hour):
                        pipe.multi()
                        pipe.zrem(UNROLLED, hour)
                        pipe.execute()
                        return done
                except WatchError:
                    pass  # something was written: see what it was

    @staticmethod
    def _final(redis: Redis, hour: int) -> list[str]:
        found = dict(redis.hscan_iter(hour_key(hour), count=BATCH))
        return [n for n, text in found.items() if not n.startswith(SUM_PREFIX) and UsageRecord.parse(text).final]

    def _merge(self, hour: int, names: Sequence[str]) -> int:
        while True:
            with self._redis.pipeline() as pipe:
                try:
                    pipe.watch(hour_key(hour), rolled_key(hour))  # type: ignore[no-untyped-call]
                    done = self._plan(pipe, hour, names)
                    pipe.execute()
                except WatchError:
                    continue
                return done

    def _plan(self, pipe: Pipeline, hour: int, names: Sequence[str]) -> int:
        """Read what is to become fewer, and say what takes its place, all at once."""
        texts = cast("list[str | None]", pipe.hmget(hour_key(hour), list(names)))
        details = {name: UsageRecord.parse(text) for name, text in zip(names, texts, strict=True) if text is not None}
        alike: defaultdict[Subject, list[UsageRecord]] = defaultdict(list)
        periods: defaultdict[str, list[str]] = defaultdict(list)
        for name, record in details.items():
            instance, _, period = name.rpartition(":")
            alike[record.subject].append(record)
            periods[instance].append(period)
        fields = [sum_field(subject) for subject in alike]
        sums = cast("list[str | None]", pipe.hmget(hour_key(hour), fields)) if fields else []
        rolled = cast("list[str | None]", pipe.hmget(rolled_key(hour), list(periods))) if periods else []
        pipe.multi()
        if not details:
            return 0
        pipe.hdel(hour_key(hour), *details)
        for (subject, records), field, text in zip(alike.items(), fields, sums, strict=True):
            before = [UsageRecord.parse(text)] if text is not None else []
            pipe.hset(hour_key(hour), field, merged(subject, hour * HOUR_SECONDS, [*before, *records]).to_json())
        for (instance, more), known in zip(periods.items(), rolled, strict=True):
            pipe.hset(rolled_key(hour), instance, f"{known or ','}{','.join(more)},")
        pipe.hincrby(rolled_key(hour), TIMES)
        for key in (hour_key(hour), rolled_key(hour)):
            pipe.expireat(key, expires_at(hour, self._retention))
        return len(details)


def sum_field(subject: Subject) -> str:
    """Return the field of what was rolled up for a subject."""
    return SUM_PREFIX + json.dumps(subject, separators=(",", ":"))
