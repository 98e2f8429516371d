"""Answers of an imagined server whose tokens all have a log-probability that follows from their ids."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import httpx

from quickthaw_platform.traffic.target import Target
from quickthaw_platform.validation.asking import PATH, Asker
from quickthaw_platform.validation.planning import Document, Plan
from quickthaw_platform.validation.protocols import disjoint

Respond = Callable[[httpx.Request], httpx.Response]
TARGET = Target("http://server", "m", PATH, "key")


def logprob(token: int) -> float:
    return -0.5 - token % 7


def completion(values: Sequence[float | None]) -> httpx.Response:
    return httpx.Response(200, json={"choices": [{"text": "", "logprobs": {"token_logprobs": list(values)}}]})


def scored(request: httpx.Request) -> httpx.Response:
    """Answer as a server does that returns a prompt's log-probabilities."""
    tokens = json.loads(request.content)["prompt"]
    return completion([None, *(logprob(token) for token in tokens[1:])])


def error(status: int, code: str, message: str = "no", **more: object) -> httpx.Response:
    return httpx.Response(status, json={"error": {"message": message, "code": code, "type": "t", **more}})


def asker(respond: Respond, top: int = 0) -> Asker:
    return Asker(TARGET, top, httpx.MockTransport(respond))


def plan(tokens: int = 40, window: int = 8) -> Plan:
    cut = tuple(disjoint(range(tokens), window))
    return Plan("gptq", cut, (Document(1, 1),), window, None, None, bos="none", whole=False)
