"""What the endpoints that call functions share: the quota, the headers, waiting for an end."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from flask import Response, g, request
from pydantic import BaseModel, Field

from quickthaw_platform.gateway import sse
from quickthaw_platform.gateway.admission import Admitted
from quickthaw_platform.gateway.auth import principal
from quickthaw_platform.gateway.following import Line
from quickthaw_platform.gateway.services import services

INVOCATION_HEADER = "x-invocation-id"
MAX_POSITION = 10**15


class Headers(BaseModel):
    """Base of header models: flask-openapi3 asks for their schema at every request, and making one is slow."""

    @classmethod
    def model_json_schema(cls, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Return the schema; the plain one is made once."""
        return super().model_json_schema(*args, **kwargs) if args or kwargs else _schema(cls)


@cache
def _schema(headers: type[Headers]) -> dict[str, Any]:
    return super(Headers, headers).model_json_schema()


class CallHeaders(Headers):
    """Headers of a call."""

    idempotency_key: str | None = Field(
        None,
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        description="the same call with the same key again is answered with the first one's invocation",
    )


class StreamHeaders(CallHeaders):
    """Headers of a call that streams."""

    last_event_id: int = Field(
        0, alias="Last-Event-ID", ge=0, le=MAX_POSITION, description="go on behind this event of the log"
    )


class FollowHeaders(Headers):
    """Headers of a stream of what exists already."""

    last_event_id: int = Field(
        0, alias="Last-Event-ID", ge=0, le=MAX_POSITION, description="go on behind this event of the log"
    )


def count_request() -> None:
    """Take one request from the caller's quota; the headers that say what is left go with the answer."""
    g.ratelimit_headers = services().quotas.take(principal().info)


def line(*calls: Admitted) -> Line:
    """Return the connection to the client of the current request."""
    return Line(services(), request.environ, calls)


def name_invocation(invocation: str) -> None:
    """Name the invocation in the headers of the answer to come."""
    g.invocation = invocation


def ended(invocation: str) -> None:
    """Name an invocation whose end the answer tells, and charge its tokens."""
    name_invocation(invocation)
    services().quotas.settle(principal().info)


def streaming(body: Iterator[bytes], invocation: str) -> Response:
    """Return a stream of server-sent events."""
    headers: dict[str, Any] = {**sse.HEADERS, INVOCATION_HEADER: invocation}
    return Response(body, headers=headers)
