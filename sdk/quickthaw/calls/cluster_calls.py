"""Calls about nodes, instances and checkpoints."""

from __future__ import annotations

from quickthaw.calls.builders import delete, listing, one, path
from quickthaw.protocol import Call
from quickthaw.resources import CheckpointInfo, InstanceInfo, NodeInfo


def nodes() -> Call[list[NodeInfo]]:
    """List the nodes."""
    return listing(NodeInfo, "nodes")


def drain_node(id: str) -> Call[NodeInfo]:
    """Let a node finish what runs and take nothing new."""
    return Call("POST", path("nodes", id, "drain"), one(NodeInfo))


def instances() -> Call[list[InstanceInfo]]:
    """List the instances."""
    return listing(InstanceInfo, "instances")


def stop_instance(id: str) -> Call[None]:
    """Let an instance finish what runs and end it."""
    return delete("instances", id)


def checkpoints() -> Call[list[CheckpointInfo]]:
    """List the imported checkpoints."""
    return listing(CheckpointInfo, "checkpoints")


def delete_checkpoint(name: str) -> Call[None]:
    """Remove a checkpoint from every node's disk."""
    return delete("checkpoints", name)
