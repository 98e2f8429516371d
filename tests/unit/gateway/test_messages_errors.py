"""Errors as Anthropic's clients know them."""

from __future__ import annotations

import pytest

from quickthaw_platform.errors import (
    AuthenticationFailed,
    Conflict,
    ContextLengthExceeded,
    FunctionNotFound,
    HandlerFailed,
    InvalidRequest,
    NoCapacity,
    PermissionDenied,
    QueueFull,
    QuickthawError,
    RateLimited,
    RequestTooLarge,
    StartTooLate,
    TimedOut,
    Unavailable,
)
from quickthaw_platform.gateway.messages.errors import error_body, status_of


@pytest.mark.parametrize(
    ("kind", "status", "name"),
    [
        (InvalidRequest, 400, "invalid_request_error"),
        (AuthenticationFailed, 401, "authentication_error"),
        (PermissionDenied, 403, "permission_error"),
        (FunctionNotFound, 404, "not_found_error"),
        (Conflict, 409, "invalid_request_error"),
        (RequestTooLarge, 413, "request_too_large"),
        (RateLimited, 429, "rate_limit_error"),
        (QueueFull, 429, "rate_limit_error"),
        (HandlerFailed, 500, "api_error"),
        (Unavailable, 503, "api_error"),
        (TimedOut, 504, "timeout_error"),
        (NoCapacity, 529, "overloaded_error"),
        (StartTooLate, 529, "overloaded_error"),
    ],
)
def test_each_error_has_anthropics_status_and_type(kind: type[QuickthawError], status: int, name: str) -> None:
    error = kind("why")
    assert status_of(error) == status
    assert error_body(error, "r1") == {
        "type": "error",
        "error": {"type": name, "message": "why"},
        "request_id": "r1",
    }


@pytest.mark.parametrize(
    ("message", "param", "said"),
    [
        ("prompt is empty", "prompt", "prompt is empty"),
        ("it is empty", "messages.0", "messages.0: it is empty"),
        (
            "chat_template_kwargs.enable_thinking is no variable of this model's chat template",
            "chat_template_kwargs.enable_thinking",
            "thinking is no variable of this model's chat template",
        ),
    ],
)
def test_the_message_names_the_field_as_anthropic_does(message: str, param: str, said: str) -> None:
    assert error_body(InvalidRequest(message, param=param), "")["error"]["message"] == said


def test_a_refused_thread_tells_the_client_to_go_on_without() -> None:
    details = error_body(InvalidRequest("thread is not served", param="thread"), "")["error"]["details"]
    assert details["error_code"] == "thread_unsupported_request"


@pytest.mark.parametrize(
    ("param", "said"),
    [("prompt", "prompt is too long: why"), ("max_tokens", "input length and `max_tokens` exceed context limit: why")],
)
def test_a_conversation_that_is_too_long_is_told_in_the_words_that_clients_know(param: str, said: str) -> None:
    assert error_body(ContextLengthExceeded("why", param=param), "")["error"]["message"] == said
