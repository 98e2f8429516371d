"""Calls through the platform's API, against a scripted gateway."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from quickthaw import AsyncClient
from quickthaw_platform.errors import Conflict, NotServable, QuickthawError
from quickthaw_platform.optimisation.calling import Called, PlatformCaller, Served, likelihood, served
from quickthaw_platform.optimisation.contract import Rewriting
from tests.unit.optimisation.planted import task
from tests.unit.sdk.fake_gateway import INVOCATION, NO_WAIT, URL, FakeGateway

FUNCTION = Served("chat", "live", ("v1",))
USAGE = {"prompt_tokens": 7, "completion_tokens": 3}
INFO = {**INVOCATION, "usage": USAGE, "started_at": 2.0, "ended_at": 4.5}


def event(kind: str, data: dict[str, Any]) -> httpx.Response:
    text = f"id: 1\nevent: {kind}\ndata: {json.dumps(data)}\n\n"
    return httpx.Response(200, headers={"content-type": "text/event-stream"}, text=text)


def run(gateway: FakeGateway, call: Callable[[PlatformCaller], Any], **changes: Any) -> Called:
    async def go() -> Called:
        async with AsyncClient(URL, "key", backoff=NO_WAIT, transport=gateway.transport) as client:
            found: Called = await call(PlatformCaller(client, task(**changes), FUNCTION, FUNCTION))
            return found

    return asyncio.run(go())


def gateway_of(end: httpx.Response, info: dict[str, Any] = INFO) -> FakeGateway:
    begun = httpx.Response(202, json={**INVOCATION, "state": "queued"})
    return FakeGateway([begun, end, httpx.Response(200, json=info)])


def test_an_answer_has_its_text_tokens_and_seconds_and_its_key_is_sent() -> None:
    gateway = gateway_of(event("result", {"value": "Paris"}))
    called = run(gateway, lambda caller: caller.answer("key-1", "Q 1", "Paris"))
    assert called == Called(text="Paris", tokens=10, seconds=2.5)
    assert gateway.requests[0].headers["Idempotency-Key"] == "key-1"
    assert gateway.body(0)["input"] == {"max_tokens": 4, "prompt": "Q 1"}


def test_a_function_that_takes_messages_is_given_one() -> None:
    gateway = gateway_of(event("result", {"value": "Paris"}))
    run(gateway, lambda caller: caller.answer("key-1", "Q 1", "Paris"), argument="messages")
    assert gateway.body(0)["input"]["messages"] == [{"role": "user", "content": "Q 1"}]


def test_a_handler_that_failed_is_an_answer_with_an_error() -> None:
    error = {"message": "it raised", "type": "server_error", "code": "handler_failed"}
    gateway = gateway_of(event("error", {"error": error}), {**INFO, "state": "failed"})
    called = run(gateway, lambda caller: caller.answer("key-1", "Q 1", "Paris"))
    assert called == Called(error="it raised", tokens=10, seconds=2.5)


def test_what_is_no_fault_of_the_candidate_is_raised() -> None:
    refused = httpx.Response(401, json={"error": {"message": "no such key", "code": "invalid_api_key"}})
    with pytest.raises(QuickthawError, match="no such key"):
        run(FakeGateway([refused]), lambda caller: caller.answer("key-1", "Q 1", "Paris"))


def test_a_version_that_was_deployed_meanwhile_ends_the_search() -> None:
    gateway = gateway_of(event("result", {"value": "Paris"}), {**INFO, "version": "v2"})
    with pytest.raises(Conflict, match="deployed anew"):
        run(gateway, lambda caller: caller.answer("key-1", "Q 1", "Paris"))


def test_a_rewriting_is_called_as_the_ready_made_function_is() -> None:
    gateway = gateway_of(event("result", {"value": "Better."}))
    run(gateway, lambda caller: caller.rewrite("key-1", Rewriting("shorten", ("Long.",), seed=5)))
    asked = gateway.body(0)
    assert asked["input"] == {"how": "shorten", "instructions": ["Long."], "failures": [], "max_tokens": 200}
    assert asked["sampling"]["seed"] == 5


def test_an_unknown_alias_is_refused() -> None:
    info = {
        "name": "chat", "model": "m", "engine": "echo", "versions": 1, "aliases": {"live": {"v1": 1.0}},
        "instances": 0, "running": 0, "waiting": 0, "created_at": 1.0,
    }  # fmt: skip

    async def find() -> Served:
        gateway = FakeGateway([httpx.Response(200, json=info)])
        async with AsyncClient(URL, "key", backoff=NO_WAIT, transport=gateway.transport) as client:
            return await served(client, "chat:canary")

    with pytest.raises(QuickthawError, match=r"no alias 'canary'; known: live"):
        asyncio.run(find())


def test_the_likelihood_is_that_of_the_tokens_behind_the_prompt() -> None:
    logprobs = {"token_logprobs": [None, -5.0, -1.0, -2.0], "text_offset": [0, 2, 4, 7]}
    answer = {"choices": [{"logprobs": logprobs}], "usage": {"total_tokens": 4}}
    assert likelihood(answer, 4, 0.5) == Called(score=math.exp(-1.5), tokens=4, seconds=0.5)


@pytest.mark.parametrize(
    "logprobs", [None, {}, {"token_logprobs": [None], "text_offset": [0]}], ids=["none", "empty", "short"]
)
def test_a_server_that_does_not_tell_likelihoods_is_named(logprobs: Any) -> None:
    with pytest.raises(NotServable, match="echo"):
        likelihood({"choices": [{"logprobs": logprobs}], "usage": {"total_tokens": 1}}, 4, 0.5)
