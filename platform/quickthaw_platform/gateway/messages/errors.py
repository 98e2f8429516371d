"""Errors as Anthropic's clients know them. Pure."""

from __future__ import annotations

from typing import Any

from quickthaw_platform.errors import NoCapacity, QuickthawError, StartTooLate

PATH = "/v1/messages"
OVERLOADED = 529
"""What Anthropic answers while it has no room."""

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    409: "invalid_request_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    OVERLOADED: "overloaded_error",
}


def status_of(error: QuickthawError) -> int:
    """Return the status of the answer that tells of `error`."""
    return OVERLOADED if isinstance(error, NoCapacity | StartTooLate) else error.status


def error_body(error: QuickthawError, request_id: str) -> dict[str, Any]:
    """Return the body of that answer; the message names the field that is wrong."""
    named = error.param is None or error.param in error.message
    return {
        "type": "error",
        "error": {
            "type": _TYPES.get(status_of(error), "api_error"),
            "message": error.message if named else f"{error.param}: {error.message}",
        },
        "request_id": request_id,
    }
