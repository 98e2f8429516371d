"""Logs that are followed, by both clients: they go on behind their last line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from quickthaw import (
    QuickthawError,
)
from tests.unit.sdk.fake_gateway import (
    RESET,
    FakeGateway,
    event,
    failed,
    stream,
)

Call = Callable[..., Any]


def log_line(number: int) -> bytes:
    return event(0, "log", {"id": f"{number}-0", "t": 1.0, "line": f"line {number}"}).replace(
        b"event:", f"id: {number}-0\nevent:".encode()
    )


def test_a_followed_log_goes_on_behind_its_last_line(call: Call) -> None:
    end = failed(404, "model_not_found")  # the function is deleted: the only end of a log
    gateway = FakeGateway([stream(log_line(1), b": ping\n\n", error=RESET), stream(log_line(2), error=RESET), end])
    seen: list[str] = []
    with pytest.raises(QuickthawError, match="no"):
        seen += [line.line for line in call(gateway, "follow_logs", "chat")]
    assert gateway.lines == ["GET /v1/functions/chat/logs?follow=true"] * 3
    assert [r.headers.get("last-event-id") for r in gateway.requests] == [None, "1-0", "2-0"]


def test_an_error_in_a_followed_log_is_raised(call: Call) -> None:
    gateway = FakeGateway([stream(log_line(1), event(0, "error", {"error": {"message": "m", "code": "unavailable"}}))])
    with pytest.raises(QuickthawError, match="m"):
        call(gateway, "follow_logs", "chat")
