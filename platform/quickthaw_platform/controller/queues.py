"""Bringing instances to what waits."""

from __future__ import annotations

import structlog

from quickthaw.types import Version
from quickthaw_platform.contracts import Start
from quickthaw_platform.controller.context import Context, run_steps
from quickthaw_platform.controller.wanted import keep_wanted
from quickthaw_platform.errors import QuickthawError, VersionNotFound
from quickthaw_platform.stored_records import RecordUnreadable

_log = structlog.get_logger()


def serve(context: Context) -> None:
    """Do one round: what waits comes first, then what is started ahead."""
    run_steps(context, (serve_waiting, keep_wanted))


def serve_waiting(context: Context) -> None:
    """For every version that something waits for: fill free slots, and start instances for the rest."""
    for identity in context.queues.waiting():
        try:
            version = context.versions.version(identity)
        except VersionNotFound as error:
            context.queues.fail_waiting(identity, _deleted(error))
            continue
        except RecordUnreadable as error:  # a controller of the release that stored it may serve it
            _log.warning("what waits for a version is left alone", version=identity, why=error.message)
            continue
        _fill_free_slots(context, identity)
        _start_for_the_rest(context, version)


def _fill_free_slots(context: Context, version: str) -> None:
    """Hand out slots that are free though something waits: their owner died between freeing and claiming them."""
    for instance in context.slots.instances(version=version):
        context.store.claim(instance.id)


def _start_for_the_rest(context: Context, version: Version) -> None:
    if version.id not in context.queues.waiting():
        return
    for _ in range(version.spec.max_instances):
        if not isinstance(context.allocator.allocate(version), Start):
            return


def _deleted(error: QuickthawError) -> VersionNotFound:
    return VersionNotFound(f"the function was deleted while the invocation waited ({error.message})")
