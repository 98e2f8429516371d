"""Nodes and instances."""

from __future__ import annotations

from typing import ClassVar

from flask import Response
from pydantic import Field

from quickthaw.resources import Deleted, InstanceInfo, NodeInfo, Scope
from quickthaw_platform.contracts import NodeState
from quickthaw_platform.errors import InstanceNotFound, NodeNotFound
from quickthaw_platform.gateway.cluster_view import instance_infos, node_infos
from quickthaw_platform.gateway.path_names import INSTANCE_PATTERN, NamingPath
from quickthaw_platform.gateway.removal import stop_instance
from quickthaw_platform.gateway.resource import Page, answer, page, resource
from quickthaw_platform.gateway.services import services
from quickthaw_platform.settings import NODE_PATTERN

api = resource(
    "cluster",
    __name__,
    "Nodes and the instances that run on them",
    read=Scope.DEPLOY,
    write=Scope.ADMIN,
    prefix="/v1",
)


class NodePath(NamingPath):
    """The node's id in the path."""

    refusals: ClassVar = {"id": NodeNotFound}
    id: str = Field(pattern=NODE_PATTERN, description="id of the node")


class InstancePath(NamingPath):
    """The instance's id in the path."""

    refusals: ClassVar = {"id": InstanceNotFound}
    id: str = Field(pattern=INSTANCE_PATTERN, description="id of the instance")


@api.get("/nodes", responses={200: Page[NodeInfo]})
def list_nodes() -> Response:
    """List the nodes."""
    return page(node_infos(services().redis))


@api.post("/nodes/<id>/drain", responses={200: NodeInfo})
def drain_node(path: NodePath) -> Response:
    """Have a node finish what runs and take nothing new; answers with the node, which is draining from now on."""
    nodes = {node.id: node for node in node_infos(services().redis)}
    if path.id not in nodes:
        raise NodeNotFound.named(path.id, nodes)
    services().commands.drain(path.id)
    return answer(nodes[path.id].model_copy(update={"state": NodeState.DRAINING.value}))


@api.get("/instances", responses={200: Page[InstanceInfo]})
def list_instances() -> Response:
    """List the instances."""
    return page(instance_infos(services().redis, services().registry))


@api.delete("/instances/<id>", responses={200: Deleted})
def delete_instance(path: InstancePath) -> Response:
    """Let an instance finish what it serves, and end it."""
    stop_instance(services(), path.id)
    return answer(Deleted())
