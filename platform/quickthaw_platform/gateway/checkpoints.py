"""Checkpoints that the nodes hold."""

from __future__ import annotations

from flask import Response
from pydantic import BaseModel, Field

from quickthaw.resources import CheckpointInfo, Deleted, Scope
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


class CheckpointPath(BaseModel):
    """The checkpoint's name in the path."""

    name: str = Field(description="name or id of the checkpoint")


@api.get("", responses={200: Page[CheckpointInfo]})
def list_checkpoints() -> Response:
    """List the checkpoints and the nodes that hold them."""
    nodes = read_view(services().redis).nodes
    return page(
        entry.model_copy(update={"nodes": tuple(node.id for node in nodes if entry.id in node.checkpoints)})
        for entry in services().catalogue.list()
    )


@api.delete("/<name>", responses={200: Deleted})
def delete_checkpoint(path: CheckpointPath) -> Response:
    """Remove a checkpoint from every node's disk; refused while a function uses it."""
    remove_checkpoint(services(), path.name)
    return answer(Deleted())
