"""Invocations after their call: looking, following, cancelling."""

from __future__ import annotations

from typing import ClassVar

from flask import Response
from pydantic import Field

from quickthaw.resources import Scope
from quickthaw.types import InvocationInfo
from quickthaw_platform.errors import InvocationNotFound
from quickthaw_platform.gateway.admission import cancel
from quickthaw_platform.gateway.auth import principal
from quickthaw_platform.gateway.calls import FollowHeaders, line, streaming
from quickthaw_platform.gateway.native_stream import stream
from quickthaw_platform.gateway.path_names import INVOCATION_PATTERN, NamingPath
from quickthaw_platform.gateway.resource import answer, event_stream, resource
from quickthaw_platform.gateway.services import services

api = resource(
    "invocations",
    __name__,
    "Calls that were made; a key with the scope invoke alone sees its own",
    read=Scope.INVOKE,
    write=Scope.INVOKE,
    prefix="/v1/invocations",
)


class InvocationPath(NamingPath):
    """The invocation's id in the path."""

    refusals: ClassVar = {"id": InvocationNotFound}
    id: str = Field(pattern=INVOCATION_PATTERN, description="id of the invocation")


@api.get("/<id>", responses={200: InvocationInfo})
def get_invocation(path: InvocationPath) -> Response:
    """Look at an invocation: its state, why it waits, its result."""
    _check_visible(path.id)
    return answer(services().store.get(path.id))


@api.get("/<id>/events", responses={200: event_stream("the events of the invocation")})
def follow_invocation(header: FollowHeaders, path: InvocationPath) -> Response:
    """Follow an invocation's events, behind `Last-Event-ID` where that is sent; hanging up cancels nothing."""
    _check_visible(path.id)
    return streaming(stream(line(), path.id, header.last_event_id), path.id)


@api.delete("/<id>", responses={200: InvocationInfo})
def cancel_invocation(path: InvocationPath) -> Response:
    """Cancel an invocation; one that has ended stays as it is."""
    _check_visible(path.id)
    cancel(services(), path.id, "cancelled by request")
    return answer(services().store.get(path.id))


def _check_visible(invocation: str) -> None:
    """Hide other keys' invocations from a key that may only invoke."""
    caller, owner = principal(), services().store.key_id(invocation)
    if owner != caller.key_id and not caller.allows(Scope.DEPLOY):
        raise InvocationNotFound(f"no invocation has the id {invocation!r}, or its record has expired")
