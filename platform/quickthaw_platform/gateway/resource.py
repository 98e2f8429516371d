"""What every resource of the API shares: its tag, the scopes it needs, its errors, and the shapes of answers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Generic, Literal, TypeVar

from flask import Response, jsonify
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from pydantic import BaseModel, Field

from quickthaw.resources import Scope
from quickthaw.types import Wire
from quickthaw_platform.gateway.auth import KEY_HEADER, requires
from quickthaw_platform.gateway.errors import ErrorBody

API_KEY_SCHEME = "apiKey"
API_KEY_HEADER_SCHEME = "apiKeyHeader"
SECURITY_SCHEMES: dict[str, Any] = {
    API_KEY_SCHEME: {"type": "http", "scheme": "bearer", "description": "an API key of this platform, `qt-…`"},
    API_KEY_HEADER_SCHEME: {"type": "apiKey", "in": "header", "name": KEY_HEADER, "description": "the same key"},
}
_ERROR = {"content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{ErrorBody.__name__}"}}}}
ERRORS: dict[Any, Any] = {
    "4XX": {"description": "The caller's fault; `code` says which, `message` what to do", **_ERROR},
    "5XX": {"description": "The function's (500), a limit's (504) or the platform's (503) fault", **_ERROR},
}

T = TypeVar("T")


class Page(Wire, Generic[T]):
    """A list."""

    object: Literal["list"] = "list"
    data: Sequence[T]


class FunctionPath(BaseModel):
    """The function's name in the path."""

    name: str = Field(description="the function")


def resource(name: str, module: str, about: str, *, read: Scope, write: Scope, prefix: str = "") -> APIBlueprint:
    """Make the blueprint of a resource: GET needs the scope `read`, all else `write`."""
    scopes = f"reading needs the scope {read.value}, all else {write.value}"
    api = APIBlueprint(
        name,
        module,
        url_prefix=prefix or None,
        abp_tags=[Tag(name=name, description=f"{about} ({scopes})" if read != write else f"{about} (scope {read})")],
        abp_security=[{API_KEY_SCHEME: []}, {API_KEY_HEADER_SCHEME: []}],
        abp_responses=ERRORS,
    )
    api.before_request(requires(read, write))
    return api


def answer(record: BaseModel, status: int = 200) -> Response:
    """Return a record as JSON."""
    response = jsonify(record.model_dump(mode="json"))
    response.status_code = status
    return response


def page(records: Iterable[BaseModel]) -> Response:
    """Return a list of records as JSON."""
    return jsonify({"object": "list", "data": [record.model_dump(mode="json") for record in records]})


def event_stream(description: str) -> dict[str, Any]:
    """Describe an answer of server-sent events."""
    return {"description": description, "content": {"text/event-stream": {"schema": {"type": "string"}}}}
