"""Calls that are sent again, and those that are not; of both clients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from quickthaw import (
    InstanceLost,
    QueueFull,
    QuickthawError,
    RateLimited,
    TimedOut,
    Unavailable,
    Unreachable,
)
from tests.unit.sdk.fake_gateway import INVOCATION, URL, FakeGateway, failed

Call = Callable[..., Any]


@pytest.mark.parametrize(
    "first",
    [
        failed(429, "rate_limit_exceeded", headers={"retry-after": "0"}),
        failed(503, "unavailable", headers={"retry-after": "0"}),
        failed(503, "no_capacity"),
        httpx.Response(502, text="bad gateway"),
        httpx.ReadError("reset"),
        httpx.RemoteProtocolError("closed"),
    ],
)
def test_what_a_later_attempt_can_change_is_sent_again_with_the_same_key(call: Call, first: Any) -> None:
    gateway = FakeGateway([first, httpx.Response(200, json=INVOCATION)])
    assert call(gateway, "invoke", "chat", {}).result == "Paris"
    keys = {request.headers["idempotency-key"] for request in gateway.requests}
    assert len(gateway.requests) == 2
    assert len(keys) == 1


def test_two_calls_have_two_keys_unless_the_caller_names_one(call: Call) -> None:
    gateway = FakeGateway([httpx.Response(200, json=INVOCATION) for _ in range(3)])
    call(gateway, "invoke", "chat", {})
    call(gateway, "invoke", "chat", {})
    call(gateway, "invoke", "chat", {}, idempotency_key="mine")
    keys = [request.headers["idempotency-key"] for request in gateway.requests]
    assert len(set(keys)) == 3
    assert keys[2] == "mine"


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        # this is how the invocation ended: asking again tells the same
        (failed(503, "instance_lost", headers={"x-invocation-id": "inv-1"}), InstanceLost),
        # longer than anyone wants to hang
        (failed(429, "rate_limit_exceeded", headers={"retry-after": "3600"}), RateLimited),
        (failed(429, "queue_full", headers={"x-should-retry": "false"}), QueueFull),
        (failed(500, "handler_failed"), QuickthawError),
        # nothing has ever answered there
        (httpx.ConnectError("refused"), Unreachable),
        # waited as long as the caller said
        (httpx.ReadTimeout("slow"), TimedOut),
    ],
)
def test_what_no_attempt_can_change_is_not_sent_again(call: Call, reply: Any, kind: type[QuickthawError]) -> None:
    gateway = FakeGateway([reply])
    with pytest.raises(kind):
        call(gateway, "invoke", "chat", {})
    assert len(gateway.requests) == 1


def test_a_gateway_that_restarts_is_waited_for(call: Call) -> None:
    gone, refused = httpx.ReadError("reset"), httpx.ConnectError("refused")
    gateway = FakeGateway([gone, refused, refused, httpx.Response(200, json=INVOCATION)])
    assert call(gateway, "invoke", "chat", {}).result == "Paris"


def test_attempts_are_bounded(call: Call) -> None:
    gateway = FakeGateway([failed(503, "unavailable") for _ in range(9)])
    with pytest.raises(Unavailable):
        call(gateway, "functions")
    assert len(gateway.requests) == 4


@pytest.mark.parametrize(("method", "args"), [("create_key", ("ci",)), ("rollback", ("chat",))])
def test_what_may_have_happened_already_is_not_repeated(call: Call, method: str, args: tuple[Any, ...]) -> None:
    gateway = FakeGateway([httpx.ReadError("reset")])
    with pytest.raises(Unreachable, match="broke"):
        call(gateway, method, *args)
    assert len(gateway.requests) == 1


def test_a_refused_connection_says_where_it_tried_and_what_to_do(call: Call) -> None:
    with pytest.raises(Unreachable) as caught:
        call(FakeGateway([httpx.ConnectError("Connection refused")]), "functions")
    for part in (URL, "from argument", "Connection refused", "quickthaw up", "QUICKTHAW_URL"):
        assert part in caught.value.message
