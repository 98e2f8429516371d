"""The samples of each version's concurrency, in Redis: whichever controller does the next round goes on with them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

from redis import Redis

from quickthaw.types import Version
from quickthaw_platform.contracts import ClusterView, InstanceState
from quickthaw_platform.controller.clock import redis_time
from quickthaw_platform.controller.scaling import plan
from quickthaw_platform.controller.scaling.plan import STABLE_SECONDS, Sample
from quickthaw_platform.invocations.outage import outage_is_unavailable
from quickthaw_platform.redis_keys import RedisKey

MIN_INTERVAL_SECONDS = 0.1
"""Rounds that follow each other faster are not planned for: the list then holds less than the stable window."""


class Samples:
    """The latest samples of each version: a list of `time concurrency asked panic` that lasts for a stable window."""

    def __init__(self, redis: Redis, interval_seconds: float) -> None:
        """`interval_seconds` lie between two rounds."""
        self._redis = redis
        self._most = math.ceil(STABLE_SECONDS / max(interval_seconds, MIN_INTERVAL_SECONDS)) + 1

    def take(self, view: ClusterView, versions: Iterable[Version]) -> None:
        """Sample those of the versions that have an instance or are waited for, or were busy when last looked at."""
        loads = Counter(view.waiting)
        for instance in view.instances:
            loads[instance.version] += instance.in_use  # one that is not in use is an entry too
        known = list(versions)
        ready = Counter(i.version for i in view.instances if i.state is InstanceState.READY)
        before = self.read(version.id for version in known)
        active = [v for v in known if v.id in loads or any(s.concurrency for s in before[v.id][-1:])]
        pipe = self._redis.pipeline(transaction=False)
        now = redis_time(self._redis)
        for version in active:
            taken = plan.sample(before[version.id], loads[version.id], version.spec, ready[version.id])
            key = _key(version.id)
            pipe.rpush(key, f"{now:.3f} {taken.concurrency} {taken.asked} {int(taken.panic)}")
            pipe.ltrim(key, -self._most, -1)
            pipe.expire(key, math.ceil(STABLE_SECONDS))
        with outage_is_unavailable():
            pipe.execute()

    def read(self, versions: Iterable[str]) -> dict[str, list[Sample]]:
        """Return the samples of each version, oldest first."""
        ids = list(versions)
        pipe = self._redis.pipeline(transaction=False)
        for version in ids:
            pipe.lrange(_key(version), 0, -1)
        now = redis_time(self._redis)
        with outage_is_unavailable():
            rows: list[list[str]] = pipe.execute()
        return {version: [_parse(text, now) for text in row] for version, row in zip(ids, rows, strict=True)}


def _key(version: str) -> str:
    return RedisKey.VERSION_SAMPLES.of(version)


def _parse(text: str, now: float) -> Sample:
    time, concurrency, asked, panic = text.split()
    return Sample(max(0.0, now - float(time)), int(concurrency), int(asked), panic == "1")
