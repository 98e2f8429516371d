"""Checkpoints: which there are, where they are, and moving them between the tiers of a node."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import ClassVar

from flask import Response
from pydantic import Field

from quickthaw.resources import (
    CheckpointCopy,
    CheckpointInfo,
    Deleted,
    EvictRequest,
    MoveRequest,
    PullRequest,
    Scope,
    Tier,
)
from quickthaw.types import Name
from quickthaw_platform.contracts import NodeView
from quickthaw_platform.errors import CheckpointNotFound, NodeNotFound, Unavailable
from quickthaw_platform.gateway.path_names import NamingPath
from quickthaw_platform.gateway.removal import remove_checkpoint
from quickthaw_platform.gateway.resource import Page, answer, page, resource
from quickthaw_platform.gateway.services import services
from quickthaw_platform.router.view import read_view

api = resource(
    "checkpoints",
    __name__,
    "Imported models; `quickthaw models import` brings one in",
    read=Scope.DEPLOY,
    write=Scope.ADMIN,
    prefix="/v1/checkpoints",
)


class CheckpointPath(NamingPath):
    """The checkpoint's name in the path."""

    refusals: ClassVar = {"name": CheckpointNotFound}
    name: Name = Field(description="name or id of the checkpoint")


@api.get("", responses={200: Page[CheckpointInfo]})
def list_checkpoints() -> Response:
    """List the checkpoints and where they are."""
    nodes = read_view(services().redis).nodes
    return page(_located(entry, nodes) for entry in services().catalogue.list())


@api.get("/<name>", responses={200: CheckpointInfo})
def show_checkpoint(path: CheckpointPath) -> Response:
    """Look at one checkpoint and where it is."""
    return answer(_look(path.name))


@api.post("/<name>/pull", responses={202: CheckpointInfo})
def pull_checkpoint(path: CheckpointPath, body: PullRequest) -> Response:
    """Have a node bring a checkpoint into its memory and onto its disk; answers with where it is at this moment."""
    found = _look(path.name)
    if not any(copy.node == _known_node(body.node).id for copy in found.copies):
        raise Unavailable(f"node {body.node!r} cannot fetch {path.name!r}: it has no remote tier that holds it")
    services().commands.pull_checkpoint(body.node, found.id)
    return answer(found, HTTPStatus.ACCEPTED)


@api.post("/<name>/evict", responses={202: CheckpointInfo})
def evict_checkpoint(path: CheckpointPath, body: EvictRequest) -> Response:
    """Have a node drop a checkpoint from its memory, or from memory and disk; never the only copy."""
    found = _look(path.name)
    services().commands.evict_checkpoint(_known_node(body.node).id, found.id, body.tier)
    return answer(found, HTTPStatus.ACCEPTED)


@api.post("/<name>/move", responses={200: CheckpointInfo})
def move_checkpoint(path: CheckpointPath, body: MoveRequest) -> Response:
    """Give a checkpoint's name to another importer: what that one has under it counts from its next announcement on."""
    name = services().catalogue.find(path.name).name
    services().catalogue.move(name, body.signer)
    return answer(_look(name))


@api.delete("/<name>", responses={200: Deleted})
def delete_checkpoint(path: CheckpointPath) -> Response:
    """Remove a checkpoint from every node and from the remote tier; refused while a function uses it."""
    remove_checkpoint(services(), path.name)
    return answer(Deleted())


def _look(name: str) -> CheckpointInfo:
    return _located(services().catalogue.find(name), read_view(services().redis).nodes)


def _known_node(identity: str) -> NodeView:
    nodes = {node.id: node for node in read_view(services().redis).nodes}
    if identity not in nodes:
        raise NodeNotFound.named(identity, nodes)
    return nodes[identity]


def _located(entry: CheckpointInfo, nodes: Sequence[NodeView]) -> CheckpointInfo:
    copies = (_copy(entry.id, node) for node in nodes)
    return entry.model_copy(update={"copies": tuple(copy for copy in copies if copy is not None)})


def _copy(checkpoint_id: str, node: NodeView) -> CheckpointCopy | None:
    holders: dict[Tier, frozenset[str]] = {
        "dram": node.tiers.dram,
        "disk": node.checkpoints,
        "remote": node.tiers.remote,
    }
    tiers = tuple(tier for tier, ids in holders.items() if checkpoint_id in ids)
    arriving = node.tiers.arriving.get(checkpoint_id)
    if not tiers and arriving is None:
        return None
    push_error = node.tiers.push_failures.get(checkpoint_id)
    return CheckpointCopy(node=node.id, tiers=tiers, arriving_bytes=arriving, push_error=push_error)
