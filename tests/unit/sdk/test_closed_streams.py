"""Calls that a caller leaves before their end: when the client cancels the invocation."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from quickthaw import (
    AsyncClient,
    Client,
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
    stream,
)

CANCELLED = httpx.Response(200, json=INVOCATION)


def test_closing_a_resumed_stream_cancels_the_invocation() -> None:
    gateway = FakeGateway([stream(PAR, error=RESET), stream(IS, STATUS), httpx.Response(200, json=INVOCATION)])
    with Client(URL, backoff=NO_WAIT, transport=gateway.transport) as client:
        outputs = client.stream("chat", {})
        assert [str(next(outputs)), str(next(outputs))] == ["Par", "is"]
        outputs.close()
    assert gateway.lines[-1] == "DELETE /v1/invocations/inv-1"


def test_closing_a_stream_that_was_opened_twice_cancels_too() -> None:
    # the gateway takes the second opening for a look at what the first began
    gateway = FakeGateway([RESET, stream(PAR, IS), httpx.Response(200, json=INVOCATION)])
    with Client(URL, backoff=NO_WAIT, transport=gateway.transport) as client:
        outputs = client.stream("chat", {})
        next(outputs)
        outputs.close()
    assert gateway.lines[-1] == "DELETE /v1/invocations/inv-1"


def test_closing_a_stream_on_its_first_connection_cancels_for_hanging_up_alone_does_not() -> None:
    gateway = FakeGateway([stream(PAR, IS), CANCELLED])
    with Client(URL, backoff=NO_WAIT, transport=gateway.transport) as client:
        for _ in client.stream("chat", {}):
            break
    assert gateway.lines[1:] == ["DELETE /v1/invocations/inv-1"]


def test_closing_the_client_cancels_what_still_streams_and_no_more() -> None:
    gateway = FakeGateway([stream(PAR, IS), stream(PAR, IS, RESULT), CANCELLED])
    with Client(URL, backoff=NO_WAIT, transport=gateway.transport) as client:
        outputs = client.stream("chat", {})
        next(outputs)
        assert len(list(client.stream("chat", {}))) == 2
    assert gateway.lines[2:] == ["DELETE /v1/invocations/inv-1"]
    outputs.close()
    assert len(gateway.lines) == 3


def test_what_has_a_key_of_its_callers_goes_on_for_it_can_be_found_again() -> None:
    gateway = FakeGateway([stream(PAR, IS)])
    with Client(URL, backoff=NO_WAIT, transport=gateway.transport) as client:
        outputs = client.stream("chat", {}, idempotency_key="mine")
        next(outputs)
        outputs.close()
    assert len(gateway.requests) == 1


def interrupted(_: httpx.Request) -> httpx.Response:
    raise KeyboardInterrupt


def test_ctrl_c_cancels_a_call_that_waits_for_its_result() -> None:
    gateway = FakeGateway([interrupted, httpx.Response(202, json=INVOCATION), CANCELLED])
    with Client(URL, backoff=NO_WAIT, transport=gateway.transport) as client, pytest.raises(KeyboardInterrupt):
        client.invoke("chat", {"a": 1})
    assert gateway.lines[1:] == ["POST /v1/functions/chat/async", "DELETE /v1/invocations/inv-1"]
    assert gateway.body(0) == gateway.body(1)
    first, second = (request.headers["Idempotency-Key"] for request in gateway.requests[:2])
    assert first == second


def test_ctrl_c_leaves_a_call_with_a_key_of_its_callers_alone() -> None:
    gateway = FakeGateway([interrupted])
    with Client(URL, backoff=NO_WAIT, transport=gateway.transport) as client, pytest.raises(KeyboardInterrupt):
        client.invoke("chat", {}, idempotency_key="mine")
    assert len(gateway.requests) == 1


def cancelled_task(_: httpx.Request) -> httpx.Response:
    raise asyncio.CancelledError


def test_a_task_that_is_cancelled_cancels_its_call() -> None:
    async def run(gateway: FakeGateway) -> None:
        async with AsyncClient(URL, backoff=NO_WAIT, transport=gateway.transport) as client:
            with pytest.raises(asyncio.CancelledError):
                await client.invoke("chat", {})

    gateway = FakeGateway([cancelled_task, httpx.Response(202, json=INVOCATION), CANCELLED])
    asyncio.run(run(gateway))
    assert gateway.lines[1:] == ["POST /v1/functions/chat/async", "DELETE /v1/invocations/inv-1"]


def test_leaving_a_stream_and_its_client_cancels_in_asyncio() -> None:
    async def run(gateway: FakeGateway) -> None:
        async with AsyncClient(URL, backoff=NO_WAIT, transport=gateway.transport) as client:
            async for _ in client.stream("chat", {}):
                break

    gateway = FakeGateway([stream(PAR, IS), CANCELLED])
    asyncio.run(run(gateway))
    assert gateway.lines[1:] == ["DELETE /v1/invocations/inv-1"]


def test_closing_a_resumed_stream_cancels_the_invocation_in_asyncio() -> None:
    async def run(gateway: FakeGateway) -> None:
        async with AsyncClient(URL, backoff=NO_WAIT, transport=gateway.transport) as client:
            outputs = client.stream("chat", {})
            assert [str(await anext(outputs)), str(await anext(outputs))] == ["Par", "is"]
            await outputs.aclose()

    gateway = FakeGateway([stream(PAR, error=RESET), stream(IS, STATUS), httpx.Response(200, json=INVOCATION)])
    asyncio.run(run(gateway))
    assert gateway.lines[-1] == "DELETE /v1/invocations/inv-1"
