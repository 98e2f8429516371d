"""How many instances each version should have, and starting those that are missing before anybody waits for them."""

from __future__ import annotations

from collections.abc import Sequence

from quickthaw.types import Version
from quickthaw_platform.contracts import Start
from quickthaw_platform.controller.context import Context
from quickthaw_platform.controller.scaling import plan
from quickthaw_platform.redis_keys import RedisKey
from quickthaw_platform.router.view import count_serving, read_view

RETRY_SECONDS = 10
"""Between two attempts to bring a version to the same number: one that cannot start is not started all the time."""


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
        missing = wanted[version.id] - serving
        if missing > 0 and _attempt_due(context, version, wanted[version.id]):
            for _ in range(missing):
                if not isinstance(context.allocator.allocate(version, ahead=True), Start):
                    break


def wanted_instances(context: Context, versions: Sequence[Version]) -> dict[str, int]:
    """Return how many instances each version should have, by id.

    It is what its concurrency asks for, its `min_instances` at least, and one while the keep-alive policy expects the
    next call of its function.
    """
    samples = context.samples.read(version.id for version in versions)
    prewarmed = context.keep_times.prewarmed(versions)
    return {v.id: max(plan.wanted(samples[v.id], v.spec), int(v.id in prewarmed)) for v in versions}


def _attempt_due(context: Context, version: Version, wanted: int) -> bool:
    """Whether none was made for so many lately; one is from now on."""
    key = RedisKey.CONTROLLER_WANTED.of(version.id)
    if int(context.redis.get(key) or 0) >= wanted:
        return False
    context.redis.set(key, wanted, ex=RETRY_SECONDS)
    return True
