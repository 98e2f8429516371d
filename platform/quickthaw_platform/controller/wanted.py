"""How many instances each version should have, and starting those that are missing before anybody waits for them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import takewhile
from typing import cast

from redis import Redis

from quickthaw.types import Version
from quickthaw_platform.contracts import Start
from quickthaw_platform.controller.clock import redis_time
from quickthaw_platform.controller.context import Context
from quickthaw_platform.controller.scaling import plan
from quickthaw_platform.redis_keys import RedisKey
from quickthaw_platform.router.view import count_serving, read_view

FIRST_RETRY_SECONDS = 1.0
"""From a start ahead to the next one for no more instances; each further one waits twice as long."""

LONGEST_RETRY_SECONDS = 60.0

REFUSED_RETRY_SECONDS = 5.0
"""Where the allocation policy starts nothing, as there is no room, it is asked again after so long."""

STEADY_SECONDS = 60.0
"""Where no start was needed for so long after the next one was allowed, the former ones are forgotten."""


def keep_wanted(context: Context) -> None:
    """Sample the concurrency, and start what is missing of the versions that aliases point to.

    What waits for a version without an instance is left to the allocation policy, which has just been asked
    (queues.serve_waiting): a start ahead would undo its decision to wait for a better place.
    """
    view = read_view(context.redis)
    pointed = context.versions.pointed_versions()
    context.samples.take(view, pointed)
    wanted = wanted_instances(context, pointed)
    for version in pointed:
        serving = count_serving(view, version.id)
        if not serving and view.waiting.get(version.id):
            continue
        if serving < wanted[version.id]:
            _start_if_due(context, version, wanted[version.id], serving)


def wanted_instances(context: Context, versions: Sequence[Version]) -> dict[str, int]:
    """Return how many instances each version should have, by id.

    It is what its concurrency asks for, its `min_instances` at least, and one while the keep-alive policy expects the
    next call of its function.
    """
    samples = context.samples.read(version.id for version in versions)
    prewarmed = context.keep_times.prewarmed(versions)
    return {v.id: max(plan.wanted(samples[v.id], v.spec), int(v.id in prewarmed)) for v in versions}


def retry_seconds(starts: int) -> float:
    """Return how long after the latest of so many starts the next one may follow: a crash loop becomes slow."""
    return min(FIRST_RETRY_SECONDS * 2.0 ** (starts - 1), LONGEST_RETRY_SECONDS)


def _start_if_due(context: Context, version: Version, wanted: int, serving: int) -> None:
    """Start what is missing, unless as many were started for lately.

    That is noted first: what makes a start fail here must not be met again in each round.
    """
    key, now = RedisKey.CONTROLLER_WANTED.of(version.id), redis_time(context.redis)
    latest = cast("dict[str, str]", context.redis.hgetall(key))
    if latest and wanted <= int(latest["wanted"]) and now < float(latest["due"]):
        return
    starts = int(latest.get("starts", 0))
    _note(context.redis, key, wanted, starts + 1, now + retry_seconds(starts + 1))
    if not _start(context, version, wanted - serving):
        _note(context.redis, key, wanted, starts, now + REFUSED_RETRY_SECONDS)


def _start(context: Context, version: Version, missing: int) -> bool:
    """Start so many instances, or as many as there is room for; returns whether there was room for any."""
    starts = (isinstance(context.allocator.allocate(version, ahead=True), Start) for _ in range(missing))
    return bool(list(takewhile(bool, starts)))


def _note(redis: Redis, key: str, wanted: int, starts: int, due: float) -> None:
    """Keep how many were wanted, the starts in a row, and from when on (Redis' clock) the next one may be made."""
    with redis.pipeline() as pipe:
        pipe.hset(key, mapping={"wanted": wanted, "starts": starts, "due": due})
        pipe.expireat(key, math.ceil(due + STEADY_SECONDS))
        pipe.execute()
