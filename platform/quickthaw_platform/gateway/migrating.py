"""Moving running invocations, and looking at where one has been."""

from __future__ import annotations

from flask import Response

from quickthaw.resources import InvocationLife, MigrateRequest, Scope
from quickthaw.types import InvocationInfo
from quickthaw_platform.gateway.invocations import InvocationPath
from quickthaw_platform.gateway.resource import answer, resource
from quickthaw_platform.gateway.services import services
from quickthaw_platform.router.view import read_view

api = resource(
    "migration",
    __name__,
    "Moving running invocations to other nodes",
    read=Scope.DEPLOY,
    write=Scope.ADMIN,
    prefix="/v1/invocations",
)


@api.get("/<id>/life", responses={200: InvocationLife})
def life(path: InvocationPath) -> Response:
    """Show where an invocation was, when, and how long its followers saw nothing in between."""
    return answer(services().store.life(path.id))


@api.post("/<id>/migrate", responses={200: InvocationInfo})
def migrate(path: InvocationPath, body: MigrateRequest) -> Response:
    """Move a running invocation to another node; answers at once, with the invocation as it is.

    It stays where it is until the other node has caught up; then its node changes, and its followers notice nothing.
    """
    services().mover.move(path.id, read_view(services().redis), body.node)
    return answer(services().store.get(path.id))
