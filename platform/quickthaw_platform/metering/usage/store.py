"""Usage in Redis: one hash for each hour, one field for each instance and period.

| key                      | what                                                                       |
|--------------------------|----------------------------------------------------------------------------|
| `qt:usage:<hour>`        | `<instance>@<start>:<period>` to its record; `sum:<subject>` to what was rolled up |
| `qt:usage.rolled:<hour>` | instance to the periods of it that are in the sums; `:times`: how often it was done |
| `qt:usage.hours`         | the hours there are, sorted                                                |
| `qt:usage.unrolled`      | those with something to roll up                                            |

Writing replaces a field, and never counts what has been rolled up once more. Both hashes go when the retention is over.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import cast

from redis import Redis

from quickthaw.resources import UsageRow
from quickthaw_platform.invocations.outage import outage_is_unavailable
from quickthaw_platform.metering.usage.records import HOUR_SECONDS, UsageRecord
from quickthaw_platform.metering.usage.rows import By, Totals
from quickthaw_platform.redis_keys import RedisKey

HOURS = RedisKey.USAGE_HOURS
UNROLLED = RedisKey.USAGE_UNROLLED
SUM_PREFIX = "sum:"
TIMES = ":times"
BATCH = 500

_WRITE = """
-- KEYS: what precedes an hour in the keys of its records and of its sums, the hours, those to roll up.
-- ARGV: hour, when the hour expires, instance, period and record of each. Returns the time.
local time = redis.call('TIME')
for i = 1, #ARGV, 5 do
  local hour, expires_at, instance, period, record = unpack(ARGV, i, i + 4)
  local key = KEYS[1] .. hour
  local rolled = redis.call('HGET', KEYS[2] .. hour, instance)
  if not (rolled and string.find(rolled, ',' .. period .. ',', 1, true)) then
    if redis.call('HSET', key, instance .. ':' .. period, record) == 1 then
      redis.call('EXPIREAT', key, expires_at)
      redis.call('ZADD', KEYS[3], hour, hour)
    end
    redis.call('ZADD', KEYS[4], hour, hour)
  end
end
return time
"""


def added_up(records: Iterable[UsageRecord], by: Sequence[By], function: str | None = None) -> list[UsageRow]:
    """Return what records add up to, a row for each of what `by` tells apart; `function` leaves the others out."""
    totals = Totals(by)
    for record in records:
        if function is None or record.subject.function == function:
            totals.add(record)
    return totals.rows()


_KEYS = (RedisKey.USAGE.of(""), RedisKey.USAGE_ROLLED.of(""), HOURS, UNROLLED)


def hour_key(hour: int) -> str:
    """Return the key of an hour's records."""
    return RedisKey.USAGE.of(hour)


def rolled_key(hour: int) -> str:
    """Return the key of what is in an hour's sums."""
    return RedisKey.USAGE_ROLLED.of(hour)


def expires_at(hour: int, retention_seconds: float) -> int:
    """Return when an hour's usage is forgotten, in Unix seconds."""
    return math.ceil((hour + 1) * HOUR_SECONDS + retention_seconds)


class UsageStore:
    """Owner of every `qt:usage:*` key, with `rolling`. Every method raises Unavailable when Redis is away."""

    def __init__(self, redis: Redis, retention_seconds: float) -> None:
        self._redis = redis
        self._retention = retention_seconds
        self._script = redis.register_script(_WRITE)

    def write(self, records: Mapping[tuple[str, int], UsageRecord]) -> float:
        """Write records of instances and periods, in place of what was known of each; returns Redis' time.

        May be repeated: it stays one record.
        """
        now = 0.0
        items = list(records.items())
        for start in range(0, max(1, len(items)), BATCH):
            arguments: list[str | int] = []
            for (instance, period), record in items[start : start + BATCH]:
                due = expires_at(record.hour, self._retention)
                arguments += [record.hour, due, instance, period, record.to_json()]
            with outage_is_unavailable():
                seconds, micros = self._script(keys=_KEYS, args=arguments)
            now = int(seconds) + int(micros) / 1e6
        return now

    def rows(
        self, since: float | None, until: float | None, by: Sequence[By], function: str | None = None
    ) -> list[UsageRow]:
        """Add up the periods that start from `since` on and before `until` (Unix seconds, Redis' clock; None: all).

        An hour that was rolled up counts as one period. `function` leaves the others out.
        """
        return added_up(self.records(since, until), by, function)

    def records(self, since: float | None = None, until: float | None = None) -> Iterator[UsageRecord]:
        """Yield the records of the periods that start in a span of time, hour by hour."""
        low = "-inf" if since is None else math.floor(since / HOUR_SECONDS)
        high = "+inf" if until is None else math.floor(until / HOUR_SECONDS)
        with outage_is_unavailable():
            hours = cast("list[str]", self._redis.zrangebyscore(HOURS, low, high))
        for hour in hours:
            for record in map(UsageRecord.parse, self._of_hour(int(hour)).values()):
                if (since is None or since <= record.start) and (until is None or record.start < until):
                    yield record

    def _of_hour(self, hour: int) -> dict[str, str]:
        """Return an hour's records, as they are written, by field.

        HSCAN may show a field twice, and miss what is rolled up meanwhile.
        """
        while True:
            with outage_is_unavailable():
                before = self._redis.hget(rolled_key(hour), TIMES)
                found = dict(self._redis.hscan_iter(hour_key(hour), count=BATCH))
                if self._redis.hget(rolled_key(hour), TIMES) == before:
                    return found
