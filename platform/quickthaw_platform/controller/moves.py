"""What runs on nodes that drain goes on elsewhere, as far as it can; moves that come to nothing are ended."""

from __future__ import annotations

import structlog

from quickthaw_platform.contracts import NodeState
from quickthaw_platform.controller.context import Context
from quickthaw_platform.errors import Conflict, InvocationNotFound, VersionNotFound
from quickthaw_platform.router.view import read_view

_log = structlog.get_logger()


def end_late_moves(context: Context) -> None:
    """Give back the slots that were reserved for moves whose time is up."""
    for invocation in context.store.end_late_moves():
        _log.warning("a move came to nothing", invocation=invocation)


def empty_draining_nodes(context: Context) -> None:
    """Move what runs on draining nodes; what cannot move ends where it is, within the node's `drain_timeout`."""
    view = read_view(context.redis)
    draining = {node.id for node in view.nodes if node.state is NodeState.DRAINING}
    if not draining or len(draining) == len(view.nodes):
        return
    for instance in view.instances:
        if instance.node in draining and instance.in_use:
            for lease in context.slots.leases(instance.id):
                try:
                    context.mover.move(lease.invocation, read_view(context.redis))
                except (Conflict, InvocationNotFound, VersionNotFound) as error:
                    _log.debug("stays on a draining node", invocation=lease.invocation, why=error.message)
