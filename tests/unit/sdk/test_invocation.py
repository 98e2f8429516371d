"""`Invocation` of both clients: spawned, looked at, cancelled, and its result waited for."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from quickthaw import (
    AsyncClient,
    Client,
    HandlerFailed,
    TimedOut,
)
from tests.unit.sdk.fake_gateway import (
    INVOCATION,
    IS,
    NO_WAIT,
    PAR,
    RESET,
    RESULT,
    STATUS,
    URL,
    FakeGateway,
    event,
    stream,
)


def test_an_invocation_is_spawned_looked_at_and_cancelled() -> None:
    gateway = FakeGateway([httpx.Response(202, json=INVOCATION), *(httpx.Response(200, json=INVOCATION),) * 2])
    with Client(URL, backoff=NO_WAIT, transport=gateway.transport) as client:
        invocation = client.spawn("chat", {})
        assert (invocation.id, invocation.status().result, invocation.cancel().id) == ("inv-1", "Paris", "inv-1")
    assert gateway.lines == [
        "POST /v1/functions/chat/async",
        "GET /v1/invocations/inv-1",
        "DELETE /v1/invocations/inv-1",
    ]


def test_an_invocation_is_spawned_looked_at_and_cancelled_in_asyncio() -> None:
    async def run(gateway: FakeGateway) -> tuple[Any, ...]:
        async with AsyncClient(URL, backoff=NO_WAIT, transport=gateway.transport) as client:
            invocation = await client.spawn("chat", {})
            return invocation.id, (await invocation.status()).result, (await invocation.cancel()).id

    gateway = FakeGateway([httpx.Response(202, json=INVOCATION), *(httpx.Response(200, json=INVOCATION),) * 2])
    assert asyncio.run(run(gateway)) == ("inv-1", "Paris", "inv-1")


def result_of(kind: str, gateway: FakeGateway, timeout: float | None = None) -> Any:
    async def run() -> Any:
        async with AsyncClient(URL, backoff=NO_WAIT, transport=gateway.transport) as client:
            return await client.invocation("inv-1").result(timeout)

    if kind == "async":
        return asyncio.run(run())
    with Client(URL, backoff=NO_WAIT, transport=gateway.transport) as client:
        return client.invocation("inv-1").result(timeout)


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_the_result_is_waited_for_across_breaks(kind: str) -> None:
    gateway = FakeGateway([stream(STATUS, error=RESET), stream(PAR, IS, RESULT)])
    assert result_of(kind, gateway) == "Paris"


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_failed_invocations_result_raises(kind: str) -> None:
    gateway = FakeGateway([stream(event(1, "error", {"error": {"message": "m", "code": "handler_failed"}}))])
    with pytest.raises(HandlerFailed):
        result_of(kind, gateway)


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_waiting_for_a_result_ends_with_the_callers_patience(kind: str) -> None:
    gateway = FakeGateway([stream(STATUS, event(0, "status", {}))])
    with pytest.raises(TimedOut) as caught:
        result_of(kind, gateway, timeout=0)
    assert caught.value.code == "client_timeout"
