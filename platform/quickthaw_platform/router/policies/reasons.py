"""What those who wait, or are refused, are told."""

from __future__ import annotations

from collections.abc import Sequence

from quickthaw.types import Isolation
from quickthaw_platform.contracts import AllocationRequest, ClusterView, InstanceView, NodeState, NodeView
from quickthaw_platform.router.table import Table, matches

GIB = 1 << 30
NO_WORKER = "no worker is running; start one with `quickthaw worker`"
ABOUT_TO_BE_TAKEN = "an instance is about to take it"


def starting(instance: InstanceView) -> str:
    """An instance is on its way."""
    return f"an instance is starting on node {instance.node}"


def all_busy(count: int, request: AllocationRequest) -> str:
    """There may be no more of them."""
    return f"all {count} instances are busy (max_instances is {request.max_instances})"


def slot_is_sooner(slot_seconds: float, start_seconds: float) -> str:
    """To wait is faster than to start."""
    return f"a slot should be free in {slot_seconds:.1f} s, sooner than a new instance ({start_seconds:.1f} s)"


def room_is_sooner(node: str, room_seconds: float, start_seconds: float) -> str:
    """To wait for a node with the weights in memory is better than to start elsewhere."""
    return (
        f"an instance should leave node {node}, which has the weights in memory, so that it serves in "
        f"{room_seconds:.1f} s; elsewhere it would take {start_seconds:.1f} s of a device that others wait for too"
    )


def moving(node: str, count: int, to_node: str) -> str:
    """Something running makes room."""
    what = "a running invocation moves" if count == 1 else f"{count} running invocations move"
    return f"{what} from node {node} to {to_node} to make room"


def nobody_holds_it(request: AllocationRequest, view: ClusterView) -> str:
    """No node can get at the checkpoint."""
    return (
        f"none of the {len(view.nodes)} running nodes has checkpoint {request.checkpoint} of function "
        f"{request.function!r} on its disk or can fetch it; bring it there with `quickthaw models import`"
    )


def nobody_is_large_enough(request: AllocationRequest, holders: Sequence[NodeView]) -> str:
    """It does not fit on any of these nodes, even were they empty."""
    largest = max(holders, key=lambda node: node.memory_bytes)
    return (
        f"an instance of {request.function!r} reserves {_gib(request.memory_bytes)}, and the largest node with its "
        f"checkpoint ({largest.id}) has {_gib(largest.memory_bytes)}; deploy it with less `memory`, or raise the "
        "node's `node_memory`"
    )


def nobody_open(request: AllocationRequest, view: ClusterView) -> str:
    """No node that could run it takes anything now."""
    holders = [node for node in view.nodes if node.has(request.checkpoint)]
    right = [node for node in holders if matches(node, request.device, request.labels, request.isolation)]
    if not right:
        wanted = [f"device {request.device}"] if request.device else []
        wanted += [f"label {name}={value}" for name, value in sorted(request.labels.items())]
        wanted += [f"isolation {request.isolation.value}"] if request.isolation is not Isolation.NONE else []
        return f"no running node with its checkpoint has {' and '.join(wanted)}; start a worker that has"
    if all(node.state is not NodeState.READY for node in right):
        return f"{_nodes(right)} with its checkpoint is draining"
    return nobody_is_large_enough(request, [node for node in right if node.state is NodeState.READY])


def no_room(request: AllocationRequest, table: Table, rows: Sequence[int], drain: Sequence[str]) -> str:
    """The nodes are full."""
    most = max(rows, key=lambda row: (table.free[row], table.rows[row].node.id))
    free, node = _gib(int(table.free[most])), table.rows[most].node.id
    what = "waiting until another function's instance has given way" if drain else "waiting until an instance leaves"
    return f"no node has {_gib(request.memory_bytes)} free now (most: {free} on {node}); {what}"


def _nodes(nodes: Sequence[NodeView]) -> str:
    return f"node {nodes[0].id}" if len(nodes) == 1 else f"each of the {len(nodes)} nodes"


def _gib(size: int) -> str:
    return f"{size / GIB:.2f} GiB"
