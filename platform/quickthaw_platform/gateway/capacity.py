"""Whether the cluster as it is now could ever run a function: asked at its deploy."""

from __future__ import annotations

from collections.abc import Sequence

from quickthaw.resources import CheckpointInfo
from quickthaw.types import FunctionSpec
from quickthaw_platform.cage.levels import demanded
from quickthaw_platform.contracts import NodeView
from quickthaw_platform.errors import InvalidRequest
from quickthaw_platform.router.table import matches

GIB = 1 << 30


def check_capacity(
    spec: FunctionSpec, checkpoints: Sequence[CheckpointInfo], nodes: Sequence[NodeView], instance_memory_bytes: int
) -> None:
    """Raise InvalidRequest, with the sizes, where no node of the right device and labels is large enough.

    `checkpoints` are the model and, where there is one, its adapter, which each instance holds a copy of.
    `instance_memory_bytes` is what an instance reserves that names nothing. Where there is no such node at all,
    nothing is known: it may come, and until then calls wait and say for what.
    """
    right = [node for node in nodes if matches(node, spec.device, spec.labels, demanded(spec))]
    if not right:
        return
    model, *adapters = checkpoints
    wanted = instance_memory_bytes if spec.memory is None else spec.memory
    wanted += sum(adapter.bytes for adapter in adapters)
    largest = max(right, key=lambda node: node.memory_bytes)
    if largest.memory_bytes < wanted:
        raise InvalidRequest(
            f"an instance of {spec.name!r} reserves {_gib(wanted)}, and the largest node that it may run on "
            f"({largest.id}) has {_gib(largest.memory_bytes)}; deploy it with less `memory`, or raise the node's "
            "`node_memory`",
            param="memory",
        )
    roomiest = max(right, key=lambda node: node.tiers.dram_bytes)
    weights = sum(checkpoint.bytes for checkpoint in checkpoints)
    if 0 < roomiest.tiers.dram_bytes < weights:
        with_adapter = " with its adapter" if adapters else ""
        raise InvalidRequest(
            f"checkpoint {model.name!r}{with_adapter} takes {_gib(weights)} of memory, and the largest `dram_budget` "
            f"of the nodes that {spec.name!r} may run on ({roomiest.id}) is {_gib(roomiest.tiers.dram_bytes)}",
            param="model",
        )


def _gib(size: int) -> str:
    return f"{size / GIB:.2f} GiB"
