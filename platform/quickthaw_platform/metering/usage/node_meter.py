"""The meters of a node's instances, and their records on the way to Redis.

The agent's loop says what happens to instances, from one thread; `flush` comes with each heartbeat, from another. What
Redis has not confirmed is kept in memory and written again, so an outage loses nothing while the agent lives.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import structlog

from quickthaw_platform.errors import Unavailable
from quickthaw_platform.metering import metrics
from quickthaw_platform.metering.usage.device_meter import DeviceMeter, Tokens
from quickthaw_platform.metering.usage.endings import Endings, Served
from quickthaw_platform.metering.usage.period_clock import PeriodClock
from quickthaw_platform.metering.usage.records import Subject, UsageRecord
from quickthaw_platform.metering.usage.store import UsageStore

KEPT_SECONDS = 10.0
"""How long a final record is written again: after a power cut Redis comes back without its last moments."""

_log = structlog.get_logger()

MAX_SERVED = 100_000
"""Invocations that have left and are still to be counted, at most; beyond it the oldest never are."""


@dataclass(frozen=True, slots=True)
class Birth:
    """When an instance's device time begins, and a moment by both clocks: monotonic, and Redis' in Unix seconds."""

    began: float
    moment: float
    redis: float


class InstanceMeter:
    """One instance's meter, with the clock in it. For the agent's loop."""

    def __init__(self, node: NodeMeter, name: str, subject: Subject, meter: DeviceMeter) -> None:
        self.name = name
        self.subject = subject
        self.meter = meter
        self.reported: Counter[str] = Counter()  # seconds by phase that are in the metrics
        self._node = node

    def stage(self, name: str, seconds: float) -> None:
        """A stage of its start has just ended."""
        with self._now() as now:
            self.meter.stage(now, name, seconds)

    def fetched(self, tier: str, size: int) -> None:
        """So many bytes of weights are read from a tier for its start."""
        with self._now():
            self.meter.fetched(tier, size)

    def loaded(self) -> None:
        """It can serve."""
        with self._now() as now:
            self.meter.loaded(now)

    def ready(self) -> None:
        """It has put something out."""
        with self._now() as now:
            self.meter.ready(now)

    def came(self, invocation: str, key: str) -> None:
        """It is given an invocation; one that it has already is left alone."""
        with self._now() as now:
            self.meter.came(now, invocation, key)

    def gave(self, invocation: str) -> None:
        """An invocation has put something out: cheap but for the first time."""
        if self.meter.is_silent(invocation):
            with self._now() as now:
                self.meter.gave(now, invocation)

    def left(self, invocation: str) -> None:
        """An invocation runs here no more, and was never this instance's own."""
        with self._now() as now:
            self.meter.left(now, invocation)

    def served(self, invocation: str, epoch: int, key: str, tokens: Tokens) -> None:
        """An invocation that was this instance's own has left: it is counted once Redis says that it ended here."""
        with self._now() as now:
            self.meter.left(now, invocation)
            self._node.served.append(Served(self.name, invocation, epoch, key, tokens))

    def stopping(self) -> None:
        """It was told to stop, or has failed to start."""
        with self._now() as now:
            self.meter.stopping(now)

    def end(self, at: float | None = None) -> None:
        """Its process has ended, at that moment by the monotonic clock, or it will never have one."""
        with self._now(at) as now:
            self.meter.end(now)

    @contextmanager
    def _now(self, at: float | None = None) -> Iterator[float]:
        with self._node.guard:
            now = self._node.clock() if at is None else at
            self._node.advance(self.meter, now)
            yield now


class NodeMeter:
    """All instances of one node."""

    def __init__(
        self, store: UsageStore, endings: Endings, period_seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`clock` tells monotonic seconds."""
        self.guard = threading.Lock()
        self.clock = clock
        self.served: deque[Served] = deque(maxlen=MAX_SERVED)
        self._store = store
        self._endings = endings
        self._periods = PeriodClock(period_seconds)
        self._meters: dict[str, InstanceMeter] = {}
        self._written: dict[tuple[str, int], tuple[UsageRecord, float]] = {}  # and when it was first so in Redis

    def begin(self, name: str, subject: Subject, birth: Birth) -> InstanceMeter:
        """Meter an instance from its birth on.

        Its records have a name that no other's have: a start that is commanded again, of this worker or the next, must
        not write over what the first one used.
        """
        unique = f"{name}@{secrets.token_hex(4)}"
        with self.guard:
            if not self._periods.is_set:
                self._periods.heard(birth.moment, birth.redis)
            meter = DeviceMeter(birth.began, self._periods.period(birth.began))
            made = self._meters[unique] = InstanceMeter(self, unique, subject, meter)
            return made

    def advance(self, meter: DeviceMeter, now: float) -> None:
        """Count an instance's time up to `now`, period by period. The guard must be held."""
        if not meter.ended:
            for at, period in self._periods.turns(meter.period, meter.last, now):
                meter.turn(at, period)
            meter.advance(now)

    def flush(self) -> None:
        """Write all that Redis may not have. Raises Unavailable; then everything waits for the next time."""
        self._count_served()
        with self.guard:
            records = self._snapshot(self.clock())
        before = self.clock()
        redis_time = self._store.write(records)
        after = self.clock()
        with self.guard:
            for each in self._meters.values():
                self.advance(each.meter, after)
            self._periods.heard((before + after) / 2, redis_time)
            self._confirm(records, after)

    def close(self) -> None:
        """Count the time of what is left to its end, all processes being gone, and write it if Redis takes it."""
        for each in list(self._meters.values()):
            each.end()
        try:
            self.flush()
        except Unavailable as error:
            _log.warning("the last usage of the node was not written", error=error.message)

    def _count_served(self) -> None:
        with self.guard:
            asked, self.served = list(self.served), deque(maxlen=MAX_SERVED)
        try:
            answers = self._endings.ended(asked)
        except Unavailable:
            with self.guard:
                self.served.extendleft(reversed(asked))
            raise
        with self.guard:
            for each, ended in zip(asked, answers, strict=True):
                if ended is None:
                    self.served.append(each)
                elif ended and each.instance in self._meters:
                    self._meters[each.instance].meter.count(each.key, each.tokens)

    def _snapshot(self, now: float) -> dict[tuple[str, int], UsageRecord]:
        records: dict[tuple[str, int], UsageRecord] = {}
        awaited = {each.instance for each in self.served}
        for name, each in self._meters.items():
            self.advance(each.meter, now)
            self._report(each)
            done = each.meter.ended and name not in awaited
            for period, share in each.meter.shares.items():
                final = done or (period != each.meter.period and not each.meter.is_starting)
                start = period * self._periods.period_seconds
                records[name, period] = UsageRecord.of(each.subject, start, share, final=final)
        return records

    def _report(self, each: InstanceMeter) -> None:
        for phase, seconds in each.meter.totals.items():
            metrics.device_seconds_total.labels(phase).inc(seconds - each.reported[phase])
        each.reported = Counter(each.meter.totals)

    def _confirm(self, records: dict[tuple[str, int], UsageRecord], now: float) -> None:
        """Forget what Redis has had for long enough."""
        for (name, period), record in records.items():
            known, since = self._written.get((name, period), (None, now))
            if known != record:
                self._written[name, period] = record, now
            elif record.final and now - since >= KEPT_SECONDS:
                del self._written[name, period]
                del self._meters[name].meter.shares[period]
        for name in [name for name, each in self._meters.items() if not each.meter.shares]:
            del self._meters[name]
