"""Calls the function that is optimised and the one that rewrites, through the platform's own API."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import httpx
from pydantic import BaseModel, JsonValue

from quickthaw import AsyncClient, http, proxies
from quickthaw.errors import Unreachable
from quickthaw.protocol import IDEMPOTENCY_HEADER, Reply, error_of
from quickthaw.types import InvocationInfo
from quickthaw_platform.errors import (
    Conflict,
    ContextLengthExceeded,
    FunctionFailed,
    InvocationCancelled,
    NotServable,
    QuickthawError,
    TimedOut,
)
from quickthaw_platform.optimisation.contract import Rewriting
from quickthaw_platform.optimisation.task import Task
from quickthaw_platform.optimisation.template import as_text

ANSWER_SECONDS = 1800.0
REWRITE_TOKENS = 200
REWRITE_TEMPERATURE = 0.8

FUNCTIONS_OWN = (FunctionFailed, ContextLengthExceeded, TimedOut, InvocationCancelled)
"""Errors that a candidate is answerable for: it scores 0. Any other stops the search."""


class Called(BaseModel):
    """What came of a call."""

    text: str = ""
    score: float | None = None  # where the call itself brings it: a log-likelihood
    error: str | None = None  # the function failed
    tokens: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Served:
    """A function as it is deployed: `versions` are the ids of what its alias names."""

    name: str
    alias: str
    versions: tuple[str, ...]


class Caller(Protocol):
    """Makes calls; safe to share between coroutines of one loop. Each `key` is run once, however often it is sent."""

    async def answer(self, key: str, prompt: str, expected: JsonValue) -> Called:
        """Have the function answer a prompt."""

    async def rewrite(self, key: str, rewriting: Rewriting) -> Called:
        """Have an instruction rewritten."""


class PlatformCaller:
    """Implements Caller with invocations. What was sent is not lost when we are: the same key finds it again."""

    def __init__(self, client: AsyncClient, task: Task, function: Served, rewriter: Served | None = None) -> None:
        self._client = client
        self._task = task
        self._function = function
        self._rewriter = rewriter

    async def answer(self, key: str, prompt: str, expected: JsonValue) -> Called:
        """Call the function; for a log-likelihood, ask `/v1/completions` how likely what is expected is."""
        if self._task.metric.kind == "loglikelihood":
            return await self._likelihood(key, prompt, as_text(expected))
        messages: JsonValue = [{"role": "user", "content": prompt}]
        asked = prompt if self._task.argument == "prompt" else messages
        return await self._called(key, self._function, {**self._task.arguments, self._task.argument: asked}, {})

    async def rewrite(self, key: str, rewriting: Rewriting) -> Called:
        """Call the rewriting function as functions/optimise is called."""
        if self._rewriter is None:
            raise AssertionError("a search without a rewriter asked for a rewriting")
        given = {**asdict(rewriting), "max_tokens": REWRITE_TOKENS}
        seed = given.pop("seed")
        return await self._called(key, self._rewriter, given, {"seed": seed, "temperature": REWRITE_TEMPERATURE})

    async def _called(self, key: str, served: Served, given: dict[str, Any], sampling: dict[str, Any]) -> Called:
        call = await self._client.spawn(
            served.name, given, alias=served.alias, idempotency_key=key, sampling=sampling or None
        )
        error, value = None, None
        try:
            value = await call.result()
        except FUNCTIONS_OWN as failed:
            error = failed.message
        info = await call.status()
        if info.version not in served.versions:
            raise Conflict(f"{served.name} was deployed anew while it was optimised; begin anew, with another --out")
        return Called(text="" if value is None else as_text(value), error=error, **_cost(info))

    async def _likelihood(self, key: str, prompt: str, expected: str) -> Called:
        """Score an answer by the mean log-probability of its tokens, as a probability: exp(mean), from 0 to 1."""
        endpoint = self._client.endpoint
        model = f"{self._function.name}:{self._function.alias}"
        body = {"model": model, "prompt": prompt + expected, "max_tokens": 0, "echo": True, "logprobs": 0}
        headers = {**http.headers(endpoint), IDEMPOTENCY_HEADER: key, "Content-Type": "application/json"}
        async with httpx.AsyncClient(transport=proxies.AsyncTransport(), timeout=ANSWER_SECONDS) as plain:
            try:
                url = f"{endpoint.url.rstrip('/')}/v1/completions"
                response = await plain.post(url, content=json.dumps(body), headers=headers)
            except httpx.TransportError as error:
                raise Unreachable(f"{endpoint.url} does not answer: {error or type(error).__name__}") from error
        if not response.is_success:
            refused = error_of(Reply(response.status_code, response.headers, response.content))
            if isinstance(refused, FUNCTIONS_OWN):
                return Called(error=refused.message)
            raise refused
        return likelihood(response.json(), len(prompt), response.elapsed.total_seconds())


def likelihood(answer: Mapping[str, Any], characters: int, seconds: float) -> Called:
    """Read how likely the text behind the first `characters` is. NotServable where the server does not tell."""
    try:
        found = answer["choices"][0]["logprobs"]
        logprobs = [
            value
            for value, offset in zip(found["token_logprobs"], found["text_offset"], strict=True)
            if offset >= characters
        ]
        mean = sum(logprobs) / len(logprobs)
        tokens = answer["usage"]["total_tokens"]
    except (KeyError, IndexError, TypeError, ValueError, ZeroDivisionError) as error:
        raise NotServable(
            "the metric loglikelihood needs `/v1/completions` with `echo` and `logprobs`, which functions with the "
            "built-in handler and functions/complete answer; this one's answer has none"
        ) from error
    return Called(score=math.exp(mean), tokens=tokens, seconds=seconds)


async def served(client: AsyncClient, name: str) -> Served:
    """Find out what NAME or NAME:ALIAS means now. Raises FunctionNotFound and AliasNotFound."""
    function, _, alias = name.partition(":")
    alias = alias or "live"
    info = await client.function(function)
    if alias not in info.aliases:
        raise QuickthawError(f"{function} has no alias {alias!r}; known: {', '.join(sorted(info.aliases))}")
    return Served(function, alias, tuple(sorted(info.aliases[alias])))


def _cost(info: InvocationInfo) -> dict[str, Any]:
    usage = info.usage
    began = info.started_at or info.created_at
    return {
        "tokens": 0 if usage is None else usage.prompt_tokens + usage.completion_tokens,
        "seconds": max(0.0, (info.ended_at or began) - began),
    }
