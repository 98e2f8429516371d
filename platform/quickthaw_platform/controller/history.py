"""What a keep-alive policy decides on, as Redis has it, and what it decides for each version."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast

from redis import Redis

from quickthaw.types import Version
from quickthaw_platform.contracts import IdleHistory, Keep, KeepAlivePolicy
from quickthaw_platform.controller.clock import redis_time
from quickthaw_platform.invocations.outage import outage_is_unavailable
from quickthaw_platform.redis_keys import RedisKey
from quickthaw_platform.router import learnt
from quickthaw_platform.router.estimator import usual_start_seconds

MAX_KEPT = 100_000
"""Answers held at most; beyond it all are asked for again."""


class KeepTimes:
    """Asks the policy for each version. Answers are held while nobody calls a function: its gaps stay the same."""

    def __init__(self, redis: Redis, policy: KeepAlivePolicy) -> None:
        self._redis = redis
        self._policy = policy
        self._kept: dict[str, tuple[str, float, Keep]] = {}  # version id to idle_since, keep_alive and the answer

    def of(self, versions: Iterable[Version]) -> dict[str, Keep]:
        """Return how long the instances of each version are kept, by version id."""
        asked = list(versions)
        since = self._idle_since(version.function for version in asked)
        keeps = {v.id: keep for v in asked if (keep := self._known(v, since)) is not None}
        missing = [version for version in asked if version.id not in keeps]
        for version, history in zip(missing, self._histories(missing), strict=True):
            keeps[version.id] = self._policy.keep(history)
            if version.function in since:
                self._kept[version.id] = (since[version.function], version.spec.keep_alive, keeps[version.id])
        if len(self._kept) > MAX_KEPT:
            self._kept.clear()
        return keeps

    def prewarmed(self, versions: Iterable[Version]) -> set[str]:
        """Return the ids of the versions that are to have an instance now, for their function's next call is near."""
        asked = list(versions)
        since = self._idle_since(version.function for version in asked)
        idle = [version for version in asked if version.function in since]
        keeps = self.of(idle)
        now = redis_time(self._redis)
        return {v.id for v in idle if keeps[v.id].wants_one(now - float(since[v.function]))}

    def _known(self, version: Version, since: dict[str, str]) -> Keep | None:
        kept_since, keep_alive, keep = self._kept.get(version.id, ("", 0.0, None))
        return keep if (kept_since, keep_alive) == (since.get(version.function), version.spec.keep_alive) else None

    def _idle_since(self, functions: Iterable[str]) -> dict[str, str]:
        """Return since when each function has had no call; those that have one now, or never had any, are left out."""
        names = sorted(set(functions))
        if not names:
            return {}
        with outage_is_unavailable():
            found = cast(
                "list[str | None]", self._redis.mget([RedisKey.FUNCTION_IDLE_SINCE.of(name) for name in names])
            )
        return {name: since for name, since in zip(names, found, strict=True) if since is not None}

    def _histories(self, versions: Sequence[Version]) -> list[IdleHistory]:
        pipe = self._redis.pipeline(transaction=False)
        for version in versions:
            pipe.lrange(RedisKey.FUNCTION_GAPS.of(version.function), 0, -1)
            pipe.hgetall(learnt.learnt_key(version.function))
        with outage_is_unavailable():
            rows: list[Any] = pipe.execute()
        return [
            IdleHistory(
                version.spec.keep_alive, tuple(map(float, reversed(gaps))), usual_start_seconds(learnt.parse(fields))
            )
            for version, gaps, fields in zip(versions, rows[::2], rows[1::2], strict=True)
        ]
