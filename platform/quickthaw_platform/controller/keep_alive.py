"""Idle instances go when their time is over: the round that acts on the keep-alive policy."""

from __future__ import annotations

from collections.abc import Mapping

import structlog

from quickthaw.types import Version
from quickthaw_platform.contracts import IdleHistory, InstanceState, InstanceView
from quickthaw_platform.controller.context import Context

_log = structlog.get_logger()


def retire_idle(context: Context) -> None:
    """Stop the instances that have been idle for long enough, the longest idle first, down to `min_instances`.

    Instances of a version that no alias points to go as soon as they are idle.
    """
    pointed = {version.id: version for version in context.versions.pointed_versions()}
    idle = [i for i in context.slots.instances() if i.state is InstanceState.READY and i.in_use == 0]
    for instance in sorted(idle, key=lambda i: -i.idle_seconds):
        if instance.idle_seconds < _expires(context, instance, pointed):
            continue
        version = pointed.get(instance.version)
        if context.slots.retire(instance.id, keep=version.spec.min_instances if version else 0):
            context.commands.stop(instance.node, instance.id)
            _log.info("idle instance retires", instance=instance.id, function=instance.function)


def _expires(context: Context, instance: InstanceView, pointed: Mapping[str, Version]) -> float:
    version = pointed.get(instance.version)
    return context.keep_alive.keep(IdleHistory(version.spec.keep_alive)).seconds if version else 0.0
