"""What every resource of the API shares: its tag, the scopes it needs, its errors, and the shapes of answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Generic, Literal, TypeVar

from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from pydantic import BaseModel, Field

from quickthaw.resources import Scope
from quickthaw.types import Name, Wire
from quickthaw_platform.errors import FunctionNotFound
from quickthaw_platform.gateway import query_names
from quickthaw_platform.gateway.auth import KEY_HEADER, requires
from quickthaw_platform.gateway.errors import ErrorBody
from quickthaw_platform.gateway.json_pieces import json_response
from quickthaw_platform.gateway.path_names import NamingPath
from quickthaw_platform.gateway.turns import in_turns

API_KEY_SCHEME = "apiKey"
API_KEY_HEADER_SCHEME = "apiKeyHeader"
SECURITY_SCHEMES: dict[str, Any] = {
    API_KEY_SCHEME: {"type": "http", "scheme": "bearer", "description": "an API key of this platform, `qt-…`"},
    API_KEY_HEADER_SCHEME: {"type": "apiKey", "in": "header", "name": KEY_HEADER, "description": "the same key"},
}


def errors(content: dict[str, Any]) -> dict[Any, Any]:
    """Describe the answers that are errors; `content` is the schema of their bodies."""
    body = {"content": {"application/json": {"schema": content}}}
    return {
        "4XX": {"description": "The caller's fault; `message` says what to do", **body},
        "5XX": {"description": "The function's (500), a limit's (504) or the platform's (503, 529) fault", **body},
    }


_FOREIGN = ("openai-", "messages")
"""How the names of resources begin whose clients send parameters that change nothing, such as Anthropic's beta=true."""

ERRORS = errors({"$ref": f"#/components/schemas/{ErrorBody.__name__}"})

T = TypeVar("T")


class Page(Wire, Generic[T]):
    """A list."""

    object: Literal["list"] = "list"
    data: Sequence[T]


class FunctionPath(NamingPath):
    """The function's name in the path."""

    refusals: ClassVar = {"name": FunctionNotFound}
    name: Name = Field(description="name of the function")


def resource(
    name: str,
    module: str,
    about: str,
    *,
    read: Scope,
    write: Scope,
    prefix: str = "",
    refusals: Mapping[Any, Any] = ERRORS,
) -> APIBlueprint:
    """Make the blueprint of a resource: GET needs the scope `read`, all else `write`; `refusals` are its errors."""
    scopes = f"reading needs the scope {read.value}, all else {write.value}"
    api = APIBlueprint(
        name,
        module,
        url_prefix=prefix or None,
        abp_tags=[Tag(name=name, description=f"{about} ({scopes})" if read != write else f"{about} (scope {read})")],
        abp_security=[{API_KEY_SCHEME: []}, {API_KEY_HEADER_SCHEME: []}],
        abp_responses=dict(refusals),
    )
    api.before_request(requires(read, write))
    if not name.startswith(_FOREIGN):
        api.before_request(query_names.check)
    return api


def answer(record: BaseModel, status: int = 200) -> Response:
    """Return a record as JSON."""
    return json_response(_shown(record), status)


def _shown(record: BaseModel) -> dict[str, Any]:
    """Return a record as JSON has it. What has any value, as results have, is that already, and may be large."""
    values = dict(record)
    fields = type(record).model_fields
    apart = {name: values[name] for name in values if fields[name].annotation is Any}
    apart |= {name: _shown(value) for name, value in values.items() if isinstance(value, BaseModel)}
    return record.model_dump(mode="json", exclude=set(apart)) | apart


def page(records: Iterable[BaseModel]) -> Response:
    """Return a list of records as JSON."""
    return json_response({"object": "list", "data": [record.model_dump(mode="json") for record in in_turns(records)]})


def event_stream(description: str) -> dict[str, Any]:
    """Describe an answer of server-sent events."""
    return {"description": description, "content": {"text/event-stream": {"schema": {"description": description}}}}
