"""Doing what is due and nobody else would do: for nodes that died, limits that ran out, commands that were lost.

Every step finds its work in Redis and takes it away from there last, so a controller that dies in the middle leaves
nothing that the next round does not finish, and two at once do no harm.
"""

from __future__ import annotations

import structlog

from quickthaw_platform.contracts import InstanceState, InstanceView
from quickthaw_platform.controller.context import Context, run_steps
from quickthaw_platform.controller.moves import empty_draining_nodes, end_late_moves
from quickthaw_platform.errors import InstanceLost, NodeLost
from quickthaw_platform.router.view import read_view

MAX_BATCHES = 50
"""Batches of overdue invocations in one round; the rest waits for the next one."""

REMIND_SECONDS = 5.0
"""A start or stop that shows no effect for so long is commanded again."""

_log = structlog.get_logger()


def sweep(context: Context) -> None:
    """Do one round."""
    run_steps(
        context,
        (
            bury_dead_nodes,
            end_homeless_instances,
            expire_overdue,
            settle_orphans,
            remind_nodes,
            end_late_moves,
            empty_draining_nodes,
            deliver_due_webhooks,
        ),
    )


def bury_dead_nodes(context: Context) -> None:
    """Settle what ran on nodes whose heartbeat has ceased, and forget them."""
    settings = context.settings
    dead = context.watch.dead_nodes(settings.controller_interval, settings.heartbeat_ttl)
    for node in dead:
        _log.warning("node lost", node=node.id)
        for instance in context.slots.instances(node=node.id):
            _end_lost(context, instance, f"node {node.id} has not been heard of for {settings.heartbeat_ttl:g} s")
        context.watch.forget(node)
    if dead:
        context.commands.serve()


def end_homeless_instances(context: Context) -> None:
    """Settle the instances of nodes that are not known (any more)."""
    view = read_view(context.redis)
    known = {node.id for node in view.nodes}
    for instance in view.instances:
        if instance.node not in known:
            _end_lost(context, instance, f"node {instance.node} is gone")


def expire_overdue(context: Context) -> None:
    """End the invocations whose start or total limit has run out, and tell the nodes that run them."""
    for _ in range(MAX_BATCHES):
        overdue = context.watch.overdue()
        if not overdue:
            return
        for found in overdue:
            stopped = context.watch.expire(found)
            if stopped.node is not None:
                context.commands.cancel(stopped.node, found.invocation)


def settle_orphans(context: Context) -> None:
    """Settle invocations whose instance is gone; those that their nodes did not take up are told to them again."""
    reason = "the instance that served the invocation is gone"
    for lease in context.watch.orphans():
        context.store.lose(lease.invocation, lease.epoch, reason, InstanceLost(reason))


def remind_nodes(context: Context) -> None:
    """Command starts and stops again that show no effect."""
    for instance in context.slots.instances():
        starting = instance.state is InstanceState.STARTING
        stopping = instance.state is InstanceState.DRAINING and instance.in_use == 0
        if (starting or stopping) and context.slots.remind(instance.id, REMIND_SECONDS):
            if starting:
                context.commands.start(instance.node, instance.id, instance.version)
            else:
                context.commands.stop(instance.node, instance.id)


def deliver_due_webhooks(context: Context) -> None:
    """Have webhooks sent where one is due: by a task of its own, which may be under way in another process."""
    if context.watch.webhook_due():
        context.commands.deliver_webhooks()


def _end_lost(context: Context, instance: InstanceView, reason: str) -> None:
    """Settle the invocations of an instance that is lost with its node, then forget it.

    It drains first, so that nothing new comes; its record goes last, so that a round cut off here is done again. The
    node may only have been cut off: when it is back it finds the command to stop.
    """
    context.slots.drain(instance.id)
    for lease in context.slots.leases(instance.id):
        context.store.lose(lease.invocation, lease.epoch, reason, NodeLost(f"{reason}; the invocation ran there"))
    context.commands.stop(instance.node, instance.id)
    context.slots.remove(instance.id)
