"""Taking things away without hurting what runs: functions, instances, checkpoints."""

from __future__ import annotations

import structlog

from quickthaw_platform.contracts import InstanceView
from quickthaw_platform.errors import Conflict, InstanceNotFound, InvocationCancelled
from quickthaw_platform.gateway.services import Services
from quickthaw_platform.invocations.queues import Queues
from quickthaw_platform.router.view import read_view

_log = structlog.get_logger()


def remove_function(services: Services, name: str) -> None:
    """Forget a function: nobody can call it from now on, what waits is cancelled, its instances end when idle."""
    versions = services.registry.delete(name)
    queues = Queues(services.redis)
    for version in versions:
        for instance in services.slots.instances(version=version):
            _drain(services, instance)
        queues.fail_waiting(version, InvocationCancelled(f"function {name!r} was deleted"))
    _log.info("function deleted", function=name, versions=len(versions))


def stop_instance(services: Services, identity: str) -> None:
    """Let an instance finish what it serves, and end it."""
    instance = services.slots.get(identity)
    if instance is None:
        raise InstanceNotFound.named(identity, (view.id for view in services.slots.instances()))
    _drain(services, instance)


def remove_checkpoint(services: Services, name: str) -> None:
    """Have every node delete a checkpoint on all its tiers; Conflict while an alias points to what needs it."""
    checkpoint = services.catalogue.find(name)
    users = {
        v.function
        for v in map(services.registry.version, services.registry.pointed_ids())
        if checkpoint.id in (v.checkpoint, v.adapter_checkpoint)
    }
    if users:
        raise Conflict(
            f"checkpoint {name!r} is used by {', '.join(sorted(users))}; delete those functions first", param="name"
        )
    for node in read_view(services.redis).nodes:
        services.commands.forget_checkpoint(node.id, checkpoint.id)
    services.catalogue.withdraw(checkpoint.id)
    services.results.forget(checkpoint.id)


def _drain(services: Services, instance: InstanceView) -> None:
    """Lease its slots no more. One that is idle is stopped now; the controller stops the others when they are."""
    if services.slots.drain(instance.id) and not services.slots.leases(instance.id):
        services.commands.stop(instance.node, instance.id)
