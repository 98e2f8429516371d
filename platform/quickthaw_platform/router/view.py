"""Reading the cluster as one moment shows it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from redis import Redis

from quickthaw_platform.contracts import ClusterView, InstanceState, InstanceView, NodeState, NodeView, TiersView
from quickthaw_platform.invocations.scripts import Scripts
from quickthaw_platform.invocations.slots import INSTANCES_KEY, parse_instances


def read_view(redis: Redis) -> ClusterView:
    """Return nodes, instances and queue lengths, read by one script; Unavailable when Redis is."""
    return parse_view(Scripts(redis).run("view", INSTANCES_KEY, 1))


def count_serving(view: ClusterView, version: str) -> int:
    """Count the version's instances that serve or will: what drains, or is on a draining node, does not.

    This is what `reserve.lua` counts too.
    """
    draining = {node.id for node in view.nodes if node.state is NodeState.DRAINING}
    return sum(
        instance.version == version and instance.state is not InstanceState.DRAINING and instance.node not in draining
        for instance in view.instances
    )


def parse_view(answer: Sequence[Any]) -> ClusterView:
    """Read what `view.lua` answers."""
    rows, node_rows, waiting = answer
    instances = parse_instances(rows)
    nodes = sorted((_node(row, instances) for row in node_rows), key=lambda node: node.id)
    lengths = dict(zip(waiting[::2], map(int, waiting[1::2]), strict=True))
    return ClusterView(tuple(nodes), tuple(instances), {version: n for version, n in lengths.items() if n})


def _node(row: Sequence[Any], instances: Sequence[InstanceView]) -> NodeView:
    identity, state, device, memory, checkpoints, templates, tiers, remote = row
    memory_bytes = int(memory or 0)
    reserved = sum(instance.memory_bytes for instance in instances if instance.node == identity)
    return NodeView(
        id=identity,
        state=NodeState(state or NodeState.DRAINING),
        device=device or "cpu",
        memory_bytes=memory_bytes,
        memory_free_bytes=memory_bytes - reserved,
        checkpoints=frozenset(json.loads(checkpoints or "[]")),
        templates=frozenset(json.loads(templates or "[]")),
        tiers=_tiers(tiers, remote),
    )


def _tiers(text: str | None, remote: Sequence[str]) -> TiersView:
    """Read what `checkpoints.tiers.status` wrote; an empty view for a node that has not written it yet."""
    found: dict[str, Any] = json.loads(text) if text else {}
    return TiersView(**{**found, "dram": frozenset(found.get("dram", ())), "remote": frozenset(remote)})
