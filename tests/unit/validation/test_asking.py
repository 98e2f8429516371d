"""What a server is asked, and which answers are none."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

import httpx
import pytest

from quickthaw.errors import ContextLengthExceeded, FunctionNotFound, NotServable, Unreachable, UnusableAnswer
from quickthaw_platform.validation.asking import Asker, Position, positions
from tests.unit.validation.answers import Respond, asker, completion, error, logprob, scored

NAN = b'{"choices": [{"logprobs": {"token_logprobs": [null, -1.0, NaN]}}]}'


def asked(respond: Respond, work: Callable[[Asker], Awaitable[object]], top: int = 0) -> object:
    async def run() -> object:
        async with asker(respond, top) as found:
            return await work(found)

    return asyncio.run(run())


def test_a_prompt_of_token_ids_is_echoed_and_nothing_is_generated() -> None:
    bodies = []

    def respond(request: httpx.Request) -> httpx.Response:
        bodies.append(json.loads(request.content))
        assert request.headers["authorization"] == "Bearer key"
        return scored(request)

    found = asked(respond, lambda one: one.ask([5, 6, 7]))
    assert found == [Position(logprob(6)), Position(logprob(7))]
    assert bodies == [
        {"model": "m", "prompt": [5, 6, 7], "max_tokens": 0, "echo": True, "logprobs": 0, "temperature": 0, "seed": 0}
    ]


def test_the_likeliest_tokens_are_told_where_they_are_asked_for() -> None:
    def respond(request: httpx.Request) -> httpx.Response:
        assert json.loads(request.content)["logprobs"] == 2
        logprobs = {"token_logprobs": [None, -1.0, -2.0], "top_logprobs": [None, {"a": -0.5, "b": -1.0}, {"c": -0.1}]}
        return httpx.Response(200, json={"choices": [{"logprobs": logprobs}]})

    found = asked(respond, lambda one: one.ask([1, 2, 3]), top=2)
    assert found == [Position(-1.0, {"a": -0.5, "b": -1.0}), Position(-2.0, {"c": -0.1})]


def test_a_server_that_generates_at_least_one_token_is_asked_for_one() -> None:
    wanted = []

    def respond(request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        wanted.append(body["max_tokens"])
        if body["max_tokens"] == 0:
            return error(400, "invalid_request", "max_tokens must be at least 1", param="max_tokens")
        return completion([None, *(-1.0 for _ in body["prompt"])])  # the generated token's stands at the end

    async def work(one: Asker) -> object:
        await one.check([1, 2])
        return await one.ask([1, 2, 3])

    assert asked(respond, work) == [Position(-1.0), Position(-1.0)]
    assert wanted == [0, 1, 1]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (httpx.Response(200, json={"choices": [{"text": "hello"}]}), "log-probabilities of 0 tokens|is no completion"),
        (httpx.Response(200, json={"choices": [{"logprobs": None}]}), "of 0 tokens, and the prompt has 2"),
        (completion([-0.5]), "of 1 tokens, and the prompt has 2"),  # of the answer alone: echo was ignored
        (error(400, "not_servable", "takes messages"), "takes messages"),
        (error(400, "invalid_request", "Only no echo is supported"), "Only no echo"),
        (httpx.Response(200, content=b"<html>"), "is no completion"),
    ],
    ids=["no logprobs", "null", "echo ignored", "chat only", "llama.cpp", "no JSON"],
)
def test_a_server_without_log_probabilities_of_prompts_is_refused_with_what_it_said(
    answer: httpx.Response, said: str
) -> None:
    with pytest.raises(NotServable, match=said) as caught:
        asked(lambda _: answer, lambda one: one.check([1, 2]))
    assert "'m' at http://server does not tell how likely a prompt is" in caught.value.message


@pytest.mark.parametrize("value", [b"NaN", b"Infinity", b"-Infinity", b"null", b'"x"', b"true"])
def test_scores_that_are_no_finite_numbers_are_refused_with_their_place(value: bytes) -> None:
    with pytest.raises(UnusableAnswer, match=r"the prompt's token 2 is .*no finite number"):
        positions(NAN.replace(b"NaN", value), 3)


def test_errors_of_the_server_are_its_own() -> None:
    with pytest.raises(FunctionNotFound, match="no function"):
        asked(lambda _: error(404, "model_not_found", "no function"), lambda one: one.check([1, 2]))
    with pytest.raises(ContextLengthExceeded):
        asked(lambda _: error(400, "context_length_exceeded"), lambda one: one.ask([1, 2]))


def test_a_server_that_is_not_there_is_named() -> None:
    def respond(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    with pytest.raises(Unreachable, match="http://server/v1/completions does not answer: refused"):
        asked(respond, lambda one: one.ask([1, 2]))
