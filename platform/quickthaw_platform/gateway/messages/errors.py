"""Errors as Anthropic's clients know them. Pure."""

from __future__ import annotations

from typing import Any

from quickthaw_platform.errors import ContextLengthExceeded, NoCapacity, QuickthawError, StartTooLate

PATH = "/v1/messages"
OVERLOADED = 529
"""What Anthropic answers while it has no room."""

SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["type", "error", "request_id"],
    "properties": {
        "type": {"const": "error"},
        "error": {
            "type": "object",
            "required": ["type", "message"],
            "properties": {
                "type": {"type": "string"},
                "message": {"type": "string"},
                "details": {"type": "object", "description": "what has Anthropic's clients go on otherwise"},
            },
        },
        "request_id": {"type": "string"},
    },
}
"""Of the bodies of answers that are no success."""

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    408: "invalid_request_error",
    409: "invalid_request_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    OVERLOADED: "overloaded_error",
}

_DETAILS = {"thread": {"error_code": "thread_unsupported_request", "unsupported": ["thread"]}}
"""By the field that is refused: what has Anthropic's clients go on without it."""

_NAMES = {"chat_template_kwargs.enable_thinking": "thinking", "reasoning_effort": "output_config.effort"}
"""What Anthropic calls the fields that chat templates are told."""


_TOO_LONG = {
    "prompt": "prompt is too long",
    "max_tokens": "input length and `max_tokens` exceed context limit",
}
"""By the field that is at fault: the words by which Anthropic's clients know that a conversation is too long."""


def status_of(error: QuickthawError) -> int:
    """Return the status of the answer that tells of `error`."""
    return OVERLOADED if isinstance(error, NoCapacity | StartTooLate) else error.status


def error_body(error: QuickthawError, request_id: str) -> dict[str, Any]:
    """Return the body of that answer; the message names the field that is wrong."""
    told: dict[str, Any] = {"type": _TYPES.get(status_of(error), "api_error"), "message": _message(error)}
    if error.param in _DETAILS:
        told["details"] = _DETAILS[error.param]
    return {"type": "error", "error": told, "request_id": request_id}


def _message(error: QuickthawError) -> str:
    if error.param is None:
        return error.message
    if error.code == ContextLengthExceeded.default_code and error.param in _TOO_LONG:
        return f"{_TOO_LONG[error.param]}: {error.message}"
    name = _NAMES.get(error.param, error.param)
    message = error.message.replace(error.param, name)
    return message if name in message else f"{name}: {message}"
