"""Every error leaves as the OpenAI error object (from Anthropic's endpoints as theirs) with its true status, and says
whether trying again can help.
"""

from __future__ import annotations

import math
from contextlib import suppress
from typing import IO, Any, cast

import structlog
from flask import Flask, Response, current_app, g, jsonify, request
from kombu.exceptions import OperationalError
from pydantic import ValidationError
from werkzeug.exceptions import HTTPException, MethodNotAllowed, RequestEntityTooLarge, RequestTimeout
from werkzeug.exceptions import NotFound as NoSuchPath
from werkzeug.routing import RequestRedirect

from quickthaw.types import Wire
from quickthaw_platform.errors import (
    InvalidRequest,
    NotFound,
    QueueFull,
    QuickthawError,
    RateLimited,
    RequestTooLarge,
    Unavailable,
)
from quickthaw_platform.findings import first_field, told
from quickthaw_platform.gateway.body_encoding import SUPPORTED
from quickthaw_platform.gateway.foreign_paths import pointer
from quickthaw_platform.gateway.messages import errors as anthropic
from quickthaw_platform.gateway.requests import coming, drain
from quickthaw_platform.invocations.outage import OUTAGE
from quickthaw_platform.redis_replies import CannotServe

LONGEST_RETRY_AFTER_SECONDS = 120
"""The official OpenAI client gives up on a longer Retry-After."""

REDIS_RETRY_SECONDS = 1.0
_WORTH_A_RETRY = (Unavailable, QueueFull, RateLimited)
_log = structlog.get_logger()


class ErrorDetail(Wire):
    """What went wrong."""

    message: str
    type: str
    param: str | None
    code: str
    retry_after_seconds: float | None = None


class ErrorBody(Wire):
    """The body of every answer that is not a success."""

    error: ErrorDetail


def register(app: Flask) -> None:
    """Map every exception that can leave a handler."""
    app.register_error_handler(QuickthawError, respond)
    app.register_error_handler(ValidationError, lambda error: respond(invalid(error)))
    for kind in (*OUTAGE, OperationalError):
        app.register_error_handler(kind, _outage)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(Exception, _unexpected)


def respond(error: QuickthawError) -> Response:
    """Return the answer that carries `error`."""
    if request.path.startswith(anthropic.PATH):
        response = jsonify(anthropic.error_body(error, g.get("request_id", "")))
        response.status_code = anthropic.status_of(error)
    else:
        response = jsonify({"error": error.to_json()})
        response.status_code = error.status
    response.headers.update(headers(error))
    return response


def headers(error: QuickthawError) -> dict[str, str]:
    """Return the headers that tell a client whether and when to try again."""
    seconds = error.retry_after_seconds
    found = dict(getattr(error, "headers", {}))
    worth = isinstance(error, _WORTH_A_RETRY) and (seconds is None or seconds <= LONGEST_RETRY_AFTER_SECONDS)
    found["x-should-retry"] = "true" if worth else "false"
    if seconds is not None:
        found["Retry-After"] = str(math.ceil(max(0.0, seconds)))
    return found


def invalid(error: ValidationError) -> InvalidRequest:
    """Turn pydantic's findings into one message that names each field."""
    return InvalidRequest(told(error), param=first_field(error))


def outage(error: Exception) -> Unavailable:
    """Return the error for a platform that cannot reach its Redis, or whose Redis says that it cannot serve now."""
    said = f"the platform's Redis cannot serve at the moment ({error.code})" if isinstance(error, CannotServe) else ""
    said = said or "the platform cannot reach its Redis at the moment"
    return Unavailable(f"{said}; try again shortly", retry_after_seconds=REDIS_RETRY_SECONDS)


def _outage(error: Exception) -> Response:
    _log.warning("redis is out of reach", error=str(error), path=request.path)
    return respond(outage(error))


def _http(error: HTTPException) -> Response:
    if isinstance(error, RequestEntityTooLarge):
        with suppress(RequestTimeout, InvalidRequest), coming(request.environ):
            drain(cast("IO[bytes]", request.environ["wsgi.input"]))
        return respond(RequestTooLarge("the request body is larger than this platform accepts (setting max_body)"))
    response = respond(_named(error))
    response.status_code = error.code or 500
    response.headers.extend((key, value) for key, value in error.get_headers() if key == "Allow")
    if error.code == 415:
        response.headers["Accept-Encoding"] = SUPPORTED
    return response


def _named(error: HTTPException) -> QuickthawError:
    if error.code == 404:
        meant = pointer(request.path, _exists) or "/docs/ lists the endpoints"
        return NotFound(f"there is nothing at {request.path}; {meant}")
    if error.code == 405:
        elsewhere = pointer(request.path, lambda _: False)
        hint = f"; {elsewhere}" if elsewhere else ""
        return InvalidRequest(f"{request.path} does not take {request.method}{hint}", code="method_not_allowed")
    if error.code == 408:
        return InvalidRequest(error.description or error.name, code="body_timeout")
    if error.code == 415:
        return InvalidRequest(error.description or error.name, code="unsupported_media_type")
    return InvalidRequest(error.description or error.name, code="bad_request")


def _exists(path: str) -> bool:
    """Whether there is an endpoint at a path, for whatever method."""
    try:
        current_app.url_map.bind("").match(path)
    except NoSuchPath:
        return False
    except (MethodNotAllowed, RequestRedirect):
        return True
    return True


def _unexpected(error: Exception) -> Response:
    request_id: Any = g.get("request_id")
    _log.error("request failed", path=request.path, request_id=request_id, exc_info=error)
    return respond(QuickthawError(f"the platform failed on this request; its log has more under {request_id}"))
