"""Calls about nodes, instances and checkpoints."""

from __future__ import annotations

from typing import Literal

from quickthaw.calls.builders import delete, get, listing, one, path, send
from quickthaw.protocol import Call
from quickthaw.resources import (
    CheckpointInfo,
    EvictRequest,
    InstanceInfo,
    MoveRequest,
    NodeInfo,
    PullRequest,
    RouterAccuracy,
)
from quickthaw.results import CheckpointResult


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


def router_accuracy() -> Call[RouterAccuracy]:
    """Ask how far off the router's estimates were."""
    return get(RouterAccuracy, "router", "accuracy")


def checkpoints() -> Call[list[CheckpointInfo]]:
    """List the imported checkpoints."""
    return listing(CheckpointInfo, "checkpoints")


def checkpoint(name: str) -> Call[CheckpointInfo]:
    """Look at one checkpoint, and where it is."""
    return get(CheckpointInfo, "checkpoints", name)


def pull_checkpoint(name: str, node: str) -> Call[CheckpointInfo]:
    """Have a node bring a checkpoint into its memory and onto its disk."""
    return send("POST", CheckpointInfo, PullRequest(node=node), "checkpoints", name, "pull")


def evict_checkpoint(name: str, node: str, tier: Literal["dram", "disk"]) -> Call[CheckpointInfo]:
    """Have a node drop a checkpoint from its memory, or from memory and disk."""
    return send("POST", CheckpointInfo, EvictRequest(node=node, tier=tier), "checkpoints", name, "evict")


def move_checkpoint(name: str, signer: str) -> Call[CheckpointInfo]:
    """Give a checkpoint's name to another importer, named by its public key."""
    return send("POST", CheckpointInfo, MoveRequest(signer=signer), "checkpoints", name, "move")


def delete_checkpoint(name: str) -> Call[None]:
    """Remove a checkpoint from every node and from the remote tier."""
    return delete("checkpoints", name)


def results(name: str) -> Call[list[CheckpointResult]]:
    """List what validation has measured of a checkpoint."""
    return listing(CheckpointResult, "checkpoints", name, "results")


def record_result(name: str, result: CheckpointResult) -> Call[CheckpointResult]:
    """Keep a result of a checkpoint."""
    return send("POST", CheckpointResult, result, "checkpoints", name, "results")
