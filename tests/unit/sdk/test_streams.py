"""Streams of both clients: what they yield, and how they survive a broken connection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from quickthaw import (
    Delta,
    EventType,
    HandlerFailed,
    InvocationNotFound,
    QueueFull,
    QuickthawError,
    Unreachable,
)
from tests.unit.sdk.fake_gateway import (
    IS,
    NO_WAIT,
    PAR,
    RESET,
    RESULT,
    STATUS,
    FakeGateway,
    event,
    failed,
    stream,
)

Call = Callable[..., Any]


def text(outputs: list[Any]) -> str:
    return "".join(map(str, outputs))


def test_a_stream_yields_deltas(call: Call) -> None:
    gateway = FakeGateway([stream(STATUS, PAR, IS, RESULT)])
    outputs = call(gateway, "stream", "chat", {"messages": []})
    assert outputs == [Delta("Par", (1,)), Delta("is", (2,), finish_reason="stop")]
    assert gateway.lines == ["POST /v1/functions/chat/stream"]
    assert gateway.requests[0].headers["accept"] == "text/event-stream"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        # JSON values as they are, null included
        (event(1, "chunk", {"value": {"a": 1}}) + event(2, "chunk", {"value": None}), [{"a": 1}, None]),
        # a plain return is the one output
        (event(1, "result", {"value": [1, 2]}), [[1, 2]]),
        (event(1, "result", {"value": None}), [None]),
        # a generator that never yielded
        (event(1, "result", {"value": ""}), []),
        # comments, unknown events and a status without id are no outputs
        (b": ping\n\n" + event(0, "status", {"state": "queued"}) + event(0, "fresh", {}) + PAR, [Delta("Par", (1,))]),
    ],
)
def test_what_counts_as_output(call: Call, body: bytes, expected: list[Any]) -> None:
    gateway = FakeGateway([stream(body, event(9, "result", {"value": ""}))])
    assert call(gateway, "stream", "chat", {}) == expected


def test_an_error_event_is_raised_as_its_class(call: Call) -> None:
    error = {"message": "ZeroDivisionError in line 3", "type": "function_error", "code": "handler_failed"}
    gateway = FakeGateway([stream(STATUS, event(2, "error", {"error": error}))])
    with pytest.raises(HandlerFailed, match="line 3"):
        call(gateway, "stream", "chat", {})


def test_an_error_before_the_stream_is_raised_as_its_class(call: Call) -> None:
    gateway = FakeGateway([failed(429, "queue_full", headers={"x-should-retry": "false"})])
    with pytest.raises(QueueFull):
        call(gateway, "stream", "chat", {})


@pytest.mark.parametrize(
    "first",
    [
        stream(STATUS, PAR, error=RESET),  # the gateway died
        stream(STATUS, PAR),  # a proxy ended the body
        stream(STATUS, PAR, IS[:9], error=httpx.RemoteProtocolError("cut")),  # in the middle of an event
        stream(STATUS, PAR, error=httpx.ReadTimeout("silence")),  # nothing came for too long
    ],
)
def test_a_broken_stream_goes_on_behind_the_last_event(call: Call, first: httpx.Response) -> None:
    gateway = FakeGateway([first, httpx.ConnectError("refused"), stream(PAR, IS, RESULT)])
    assert text(call(gateway, "stream", "chat", {})) == "Paris"  # PAR came twice and counts once
    assert gateway.lines[1:] == ["GET /v1/invocations/inv-1/events"] * 2
    assert [r.headers.get("last-event-id") for r in gateway.requests] == [None, "2", "2"]


def test_a_stream_that_broke_before_it_had_an_id_is_opened_with_the_same_key(call: Call) -> None:
    gateway = FakeGateway([RESET, stream(PAR, IS, RESULT)])
    assert text(call(gateway, "stream", "chat", {})) == "Paris"
    assert gateway.lines == ["POST /v1/functions/chat/stream"] * 2
    assert len({r.headers["idempotency-key"] for r in gateway.requests}) == 1


def test_breaks_without_progress_are_bounded(call: Call) -> None:
    alive = event(0, "status", {"state": "queued"})
    gateway = FakeGateway([stream(alive, error=RESET) for _ in range(9)])
    with pytest.raises(Unreachable, match="broke"):
        call(gateway, "stream", "chat", {})
    assert len(gateway.requests) == NO_WAIT.attempts


def test_progress_makes_up_for_breaks(call: Call) -> None:
    pieces = [event(n, "chunk", {"value": n}) for n in range(1, 11)]
    gateway = FakeGateway([*(stream(piece, error=RESET) for piece in pieces), stream(event(11, "result", {}))])
    assert call(gateway, "stream", "chat", {}) == list(range(1, 11))


def test_an_invocation_that_expired_meanwhile_is_an_error_not_a_loop(call: Call) -> None:
    gateway = FakeGateway([stream(PAR, error=RESET), failed(404, "invocation_not_found")])
    with pytest.raises(InvocationNotFound):
        call(gateway, "stream", "chat", {})


def test_data_that_is_not_json_is_an_error(call: Call) -> None:
    with pytest.raises(QuickthawError, match="not JSON"):
        call(FakeGateway([stream(b"id: 1\nevent: chunk\ndata: {\n\n")]), "stream", "chat", {})


def test_events_tell_states_and_continue_behind_a_position(call: Call) -> None:
    gateway = FakeGateway([stream(IS, RESULT)])
    events = call(gateway, "events", "inv-1", 2)
    assert [(e.seq, e.type) for e in events] == [(3, EventType.CHUNK), (4, EventType.RESULT)]
    assert gateway.requests[0].headers["last-event-id"] == "2"
