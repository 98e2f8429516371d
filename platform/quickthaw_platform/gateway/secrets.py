"""Secrets of a function: written, listed by name, never read back."""

from __future__ import annotations

from typing import ClassVar

from flask import Response
from pydantic import Field

from quickthaw.resources import SECRET_PATTERN, Deleted, Scope, SecretInfo, SecretValue
from quickthaw_platform.errors import InvalidRequest
from quickthaw_platform.gateway.resource import FunctionPath, Page, answer, page, resource
from quickthaw_platform.gateway.services import services

api = resource(
    "secrets",
    __name__,
    "Environment variables of a function's instances that are never shown again",
    read=Scope.DEPLOY,
    write=Scope.DEPLOY,
    prefix="/v1/functions/<name>/secrets",
)


class SecretPath(FunctionPath):
    """A function and one of its secrets."""

    refusals: ClassVar = {**FunctionPath.refusals, "key": InvalidRequest}
    key: str = Field(pattern=SECRET_PATTERN, description="name of the environment variable")


@api.get("", responses={200: Page[SecretInfo]})
def list_secrets(path: FunctionPath) -> Response:
    """List the names of a function's secrets."""
    registry = services().registry
    registry.get(path.name)
    return page(SecretInfo(name=name) for name in sorted(registry.secret_names(path.name)))


@api.put("/<key>", responses={200: SecretInfo})
def set_secret(path: SecretPath, body: SecretValue) -> Response:
    """Set a secret; instances that start from now on see it."""
    services().room.check()
    services().registry.set_secret(path.name, path.key, body.value)
    return answer(SecretInfo(name=path.key))


@api.delete("/<key>", responses={200: Deleted})
def delete_secret(path: SecretPath) -> Response:
    """Forget a secret."""
    services().registry.remove_secret(path.name, path.key)
    return answer(Deleted())
