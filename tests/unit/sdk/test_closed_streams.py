"""Streams that a caller closes before their end: whether the client has to cancel the invocation."""

from __future__ import annotations

import asyncio

import httpx

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
    STATUS,
    URL,
    FakeGateway,
    stream,
)


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


def test_closing_a_stream_on_its_first_connection_leaves_cancelling_to_the_gateway() -> None:
    gateway = FakeGateway([stream(PAR, IS)])
    with Client(URL, backoff=NO_WAIT, transport=gateway.transport) as client:
        outputs = client.stream("chat", {})
        next(outputs)
        outputs.close()
    assert len(gateway.requests) == 1


def test_closing_a_resumed_stream_cancels_the_invocation_in_asyncio() -> None:
    async def run(gateway: FakeGateway) -> None:
        async with AsyncClient(URL, backoff=NO_WAIT, transport=gateway.transport) as client:
            outputs = client.stream("chat", {})
            assert [str(await anext(outputs)), str(await anext(outputs))] == ["Par", "is"]
            await outputs.aclose()

    gateway = FakeGateway([stream(PAR, error=RESET), stream(IS, STATUS), httpx.Response(200, json=INVOCATION)])
    asyncio.run(run(gateway))
    assert gateway.lines[-1] == "DELETE /v1/invocations/inv-1"
