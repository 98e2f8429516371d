"""Functions that are called at the gateway by their handlers' names: `remote`, `stream`, `spawn`, and `App.deploy`."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from quickthaw import (
    Client,
    Function,
    InvalidRequest,
)
from tests.unit.sdk.fake_gateway import INVOCATION, NO_WAIT, URL, FakeGateway, event, stream


def with_gateway(function: Function[..., Any], gateway: FakeGateway) -> Function[..., Any]:
    function.app._client = Client(URL, backoff=NO_WAIT, transport=gateway.transport)
    return function


def test_remote_returns_the_result(functions: dict[str, Function[..., Any]]) -> None:
    gateway = FakeGateway([httpx.Response(200, json=INVOCATION)])
    assert with_gateway(functions["chat"], gateway).remote([{"role": "user", "content": "?"}], max_tokens=3) == "Paris"
    assert gateway.lines == ["POST /v1/functions/chat/invoke"]
    assert gateway.body()["input"] == {"messages": [{"role": "user", "content": "?"}], "max_tokens": 3}


def test_stream_yields_deltas(functions: dict[str, Function[..., Any]]) -> None:
    chunk = event(1, "chunk", {"delta": {"text": "Paris", "tokens": [1]}})
    gateway = FakeGateway([stream(chunk, event(2, "result", {"value": "Paris"}))])
    assert [str(delta) for delta in with_gateway(functions["chat"], gateway).stream([])] == ["Paris"]


def test_spawn_returns_an_invocation(functions: dict[str, Function[..., Any]]) -> None:
    gateway = FakeGateway([httpx.Response(202, json=INVOCATION), stream(event(1, "result", {"value": {"a": 1}}))])
    invocation = with_gateway(functions["chat"], gateway).spawn([])
    assert invocation.result(timeout=60) == {"a": 1}
    assert gateway.lines == ["POST /v1/functions/chat/async", "GET /v1/invocations/inv-1/events"]


def test_arguments_that_do_not_fit_never_leave(functions: dict[str, Function[..., Any]]) -> None:
    for call in ("remote", "stream", "spawn", "local"):
        with pytest.raises(InvalidRequest, match="messages"):
            getattr(with_gateway(functions["chat"], FakeGateway([])), call)()


def test_an_app_deploys_all_its_functions(functions: dict[str, Function[..., Any]]) -> None:
    def deployed(request: httpx.Request) -> httpx.Response:
        spec = gateway.body()
        version = {"id": "v1", "function": spec["name"], "number": 1, "checkpoint": "c", "created_at": 1.0}
        return httpx.Response(200, json={**version, "spec": {"name": spec["name"], "model": "m"}})

    gateway = FakeGateway([deployed, deployed])
    versions = with_gateway(functions["chat"], gateway).app.deploy(alias="next")
    assert {name: version.function for name, version in versions.items()} == {"chat": "chat", "second": "second"}
    assert gateway.lines == ["POST /v1/functions?alias=next"] * 2
