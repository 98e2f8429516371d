"""Bringing instances to what waits, and keeping the minimum of each function up."""

from __future__ import annotations

from quickthaw.types import Version
from quickthaw_platform.contracts import Start
from quickthaw_platform.controller.context import Context, run_steps
from quickthaw_platform.errors import QuickthawError, VersionNotFound
from quickthaw_platform.router.view import count_serving, read_view

MINIMUM_RETRY_SECONDS = 10
"""Between two attempts to bring a version to its minimum, so that one that cannot start is not started all the time."""


def serve(context: Context) -> None:
    """Do one round."""
    run_steps(context, (serve_waiting, keep_minimum))


def serve_waiting(context: Context) -> None:
    """For every version that something waits for: fill free slots, and start instances for the rest."""
    for identity in context.queues.waiting():
        try:
            version = context.versions.version(identity)
        except VersionNotFound as error:
            context.queues.fail_waiting(identity, _deleted(error))
            continue
        _fill_free_slots(context, identity)
        _start_for_the_rest(context, version)


def keep_minimum(context: Context) -> None:
    """Start instances of the versions that aliases point to, up to their `min_instances`."""
    wanting = [version for version in context.versions.pointed_versions() if version.spec.min_instances]
    for version in wanting:
        missing = version.spec.min_instances - count_serving(read_view(context.redis), version.id)
        if missing > 0 and _attempt_due(context, version):
            for _ in range(missing):
                if not isinstance(context.allocator.allocate(version, ahead=True), Start):
                    break


def _fill_free_slots(context: Context, version: str) -> None:
    """Hand out slots that are free though something waits: their owner died between freeing and claiming them."""
    for instance in context.slots.instances(version=version):
        for assignment in context.store.claim(instance.id):
            context.commands.invoke(assignment)


def _start_for_the_rest(context: Context, version: Version) -> None:
    if version.id not in context.queues.waiting():
        return
    for _ in range(version.spec.max_instances):
        if not isinstance(context.allocator.allocate(version), Start):
            return


def _attempt_due(context: Context, version: Version) -> bool:
    key = f"qt:controller:minimum:{version.id}"
    return bool(context.redis.set(key, "1", nx=True, ex=MINIMUM_RETRY_SECONDS))


def _deleted(error: QuickthawError) -> VersionNotFound:
    return VersionNotFound(f"the function was deleted while the invocation waited ({error.message})")
