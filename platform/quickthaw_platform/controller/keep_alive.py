"""Idle instances go when their time is over: the round that acts on the keep-alive policy."""

from __future__ import annotations

import structlog

from quickthaw_platform import plugins
from quickthaw_platform.contracts import InstanceState
from quickthaw_platform.controller.context import Context
from quickthaw_platform.controller.wanted import wanted_instances

_log = structlog.get_logger()


def retire_idle(context: Context) -> None:
    """Stop the instances that have been idle for long enough, the longest idle first, down to how many are wanted.

    Instances of a version that no alias points to go as soon as they are idle, and so do those of a backend that keeps
    none beyond what is wanted.
    """
    idle = [i for i in context.slots.instances() if i.state is InstanceState.READY and i.in_use == 0]
    versions = {instance.version for instance in idle}
    pointed = [version for version in context.versions.pointed_versions() if version.id in versions]
    keeps = context.keep_times.of(pointed)
    wanted = wanted_instances(context, pointed)
    lingering = {version.id for version in pointed if plugins.serving_backend(version.spec.backend).keeps_idle}
    for instance in sorted(idle, key=lambda i: -i.idle_seconds):
        keep = keeps.get(instance.version)
        if keep is not None and instance.idle_seconds < keep.seconds and instance.version in lingering:
            continue
        if context.slots.retire(instance.id, keep=wanted.get(instance.version, 0)):
            context.commands.stop(instance.node, instance.id)
            _log.info("idle instance retires", instance=instance.id, function=instance.function)
