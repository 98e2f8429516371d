"""Allocation policies: where an instance starts. Pure: no I/O, no clock, no log."""

from __future__ import annotations

from collections.abc import Sequence

from quickthaw_platform.contracts import (
    AllocationRequest,
    ClusterView,
    Decision,
    InstanceState,
    InstanceView,
    NodeState,
    NodeView,
    Refuse,
    Start,
    Wait,
)

GIB = 1 << 30


class LeastLoadedPolicy:
    """Start on the node with the most free memory, of those that need not fetch the checkpoint where there are any,
    and no more instances than what waits has use for.
    """

    def choose(self, request: AllocationRequest, view: ClusterView) -> Decision:
        """Decide for `request` on what `view` shows."""
        if not view.nodes:
            return Wait("no worker is running; start one with `quickthaw worker`")
        return _enough_coming(request, view) or _all_busy(request, view) or _place(request, view)


def _enough_coming(request: AllocationRequest, view: ClusterView) -> Wait | None:
    """Wait when what waits will fit into instances that start, or into free slots of those that serve."""
    coming = _open_instances(request.version, view)
    slots = sum(instance.concurrency - instance.in_use for instance in coming)
    starting = [instance for instance in coming if instance.state is InstanceState.STARTING]
    if slots == 0 or slots < view.waiting.get(request.version, 0):
        return None
    if starting:
        return Wait(f"an instance is starting on node {starting[0].node}")
    return Wait("an instance is about to take it")


def _all_busy(request: AllocationRequest, view: ClusterView) -> Wait | None:
    count = len(_open_instances(request.version, view))
    if count < request.max_instances:
        return None
    return Wait(f"all {count} instances are busy (max_instances is {request.max_instances})")


def _place(request: AllocationRequest, view: ClusterView) -> Decision:
    holders = [node for node in view.nodes if node.has(request.checkpoint)]
    if not holders:
        return Refuse(_nobody_holds_it(request, view))
    if all(node.memory_bytes < request.memory_bytes for node in holders):
        return Refuse(_nobody_is_large_enough(request, holders))
    open_holders = [node for node in holders if node.state is NodeState.READY]
    if not open_holders:
        return Wait(f"{_nodes(holders)} with its checkpoint is draining")
    fitting = [node for node in open_holders if node.memory_free_bytes >= request.memory_bytes]
    if not fitting:
        return Wait(_no_room_now(request, open_holders))
    return Start(min(fitting, key=lambda node: (_far(request, node), -node.memory_free_bytes, node.id)).id)


def _far(request: AllocationRequest, node: NodeView) -> bool:
    """Whether the checkpoint would have to be fetched."""
    return request.checkpoint not in node.checkpoints and request.checkpoint not in node.tiers.dram


def _open_instances(version: str, view: ClusterView) -> list[InstanceView]:
    """The version's instances that take work or will: neither they nor their nodes drain."""
    ready = {node.id for node in view.nodes if node.state is NodeState.READY}
    return [
        instance
        for instance in view.instances
        if instance.version == version and instance.state is not InstanceState.DRAINING and instance.node in ready
    ]


def _nobody_holds_it(request: AllocationRequest, view: ClusterView) -> str:
    return (
        f"none of the {len(view.nodes)} running nodes has checkpoint {request.checkpoint} of function "
        f"{request.function!r} on its disk or can fetch it; bring it there with `quickthaw models import`"
    )


def _nobody_is_large_enough(request: AllocationRequest, holders: Sequence[NodeView]) -> str:
    largest = max(holders, key=lambda node: node.memory_bytes)
    return (
        f"an instance of {request.function!r} reserves {_gib(request.memory_bytes)}, and the largest node with its "
        f"checkpoint ({largest.id}) has {_gib(largest.memory_bytes)}; deploy it with less `memory`, or raise the "
        "node's `node_memory`"
    )


def _no_room_now(request: AllocationRequest, holders: Sequence[NodeView]) -> str:
    most = max(holders, key=lambda node: (node.memory_free_bytes, node.id))
    return (
        f"no node has {_gib(request.memory_bytes)} free now (most: {_gib(most.memory_free_bytes)} on {most.id}); "
        "waiting until an idle instance leaves"
    )


def _nodes(nodes: Sequence[NodeView]) -> str:
    return f"node {nodes[0].id}" if len(nodes) == 1 else f"each of the {len(nodes)} nodes"


def _gib(size: int) -> str:
    return f"{size / GIB:.2f} GiB"
