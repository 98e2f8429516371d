"""API keys."""

from __future__ import annotations

from typing import ClassVar

from flask import Response
from pydantic import Field

from quickthaw.resources import Deleted, KeyCreated, KeyInfo, KeyRequest, Scope
from quickthaw_platform.errors import KeyNotFound
from quickthaw_platform.gateway.path_names import KEY_ID_PATTERN, NamingPath
from quickthaw_platform.gateway.resource import Page, answer, page, resource
from quickthaw_platform.gateway.services import services

api = resource(
    "keys", __name__, "API keys, their scopes and quotas", read=Scope.ADMIN, write=Scope.ADMIN, prefix="/v1/keys"
)


class KeyPath(NamingPath):
    """The key's id in the path."""

    refusals: ClassVar = {"id": KeyNotFound}
    id: str = Field(pattern=KEY_ID_PATTERN, description="id of the key")


@api.get("", responses={200: Page[KeyInfo]})
def list_keys() -> Response:
    """List the API keys; only their digests are stored."""
    return page(services().keys.list())


@api.post("", responses={201: KeyCreated})
def create_key(body: KeyRequest) -> Response:
    """Make an API key; it is shown this once."""
    return answer(services().keys.create(body.name, body.scopes, body.quotas, body.weight), 201)


@api.delete("/<id>", responses={200: Deleted})
def revoke_key(path: KeyPath) -> Response:
    """Revoke an API key at once."""
    services().keys.revoke(path.id)
    return answer(Deleted())
