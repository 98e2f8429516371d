"""Asks a server how likely a text's tokens are: `/v1/completions` with `echo` and `logprobs`, prompts as token ids."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from quickthaw.errors import Unreachable
from quickthaw.protocol import Reply, error_of
from quickthaw.proxies import proxy_for
from quickthaw_platform.errors import InvalidRequest, NotServable, QuickthawError, UnusableAnswer
from quickthaw_platform.traffic.target import Target
from quickthaw_platform.traffic.transport import UnboundedTransport

PATH = "/v1/completions"
ANSWER_SECONDS = 1800.0
"""How long an answer may take: a start and a queue are part of it."""

NO_LOGPROBS = (
    "it must answer /v1/completions with `echo: true` and `logprobs` by the log-probability of each of the prompt's "
    "tokens, as functions with the built-in handler or `functions/complete`, and vLLM, do"
)


@dataclass(frozen=True, slots=True)
class Position:
    """One token of a prompt: its natural log-probability given all before it, and the likeliest in its place."""

    logprob: float
    top: Mapping[str, float] = field(default_factory=dict)


class Asker:
    """Sends prompts to one model; used within `async with`."""

    def __init__(self, target: Target, top: int = 0, transport: httpx.AsyncBaseTransport | None = None) -> None:
        """`target.path` is `/v1/completions`; `top` of the likeliest tokens are asked for at each position."""
        self._target = target
        self._top = top
        self._max_tokens = 0
        transport = transport or UnboundedTransport(proxy_for(target.address))
        headers = {name: value for name, value in target.all_headers().items() if name != "Accept"}
        self._http = httpx.AsyncClient(headers=headers, transport=transport, timeout=ANSWER_SECONDS)

    async def __aenter__(self) -> Asker:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._http.aclose()

    async def check(self, tokens: Sequence[int]) -> None:
        """Find out with a few tokens whether the server returns what is needed; NotServable says what it did instead.

        Some servers answer with at least one token: then one is asked for, which takes its place in the context.
        """
        try:
            await self.ask(tokens)
        except InvalidRequest as error:
            if isinstance(error, NotServable) or error.param == "prompt":
                raise self._unfit(error.message) from error
            self._max_tokens = 1
            try:
                await self.ask(tokens)
            except QuickthawError as second:
                raise self._unfit(second.message) from second
        except UnusableAnswer as error:
            raise self._unfit(error.message) from error

    async def ask(self, tokens: Sequence[int]) -> list[Position]:
        """Return the positions of a prompt but the first, which nothing predicts.

        Raises what the server's error says, Unreachable where none answers, and UnusableAnswer for an answer without
        a finite number for each position.
        """
        body = {
            "model": self._target.model, "prompt": list(tokens), "max_tokens": self._max_tokens, "echo": True,
            "logprobs": self._top, "temperature": 0, "seed": 0, **self._target.extra,
        }  # fmt: skip
        try:
            response = await self._http.post(self._target.address, content=json.dumps(body))
        except httpx.TransportError as error:
            detail = str(error) or type(error).__name__
            raise Unreachable(f"{self._target.address} does not answer: {detail}") from error
        if not response.is_success:
            raise error_of(Reply(response.status_code, response.headers, response.content))
        return positions(response.content, len(tokens))

    def _unfit(self, said: str) -> NotServable:
        return NotServable(
            f"{self._target.model!r} at {self._target.url} does not tell how likely a prompt is: {NO_LOGPROBS}. It "
            f"said: {said}"
        )


def positions(content: bytes, count: int) -> list[Position]:
    """Read the answer to a prompt of `count` tokens; UnusableAnswer says what is wrong with it."""
    try:
        found: Any = json.loads(content)["choices"][0]["logprobs"]
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise UnusableAnswer(f"the answer is no completion: {content[:100]!r}") from error
    values = found.get("token_logprobs") if isinstance(found, dict) else None
    if not isinstance(values, list) or len(values) < count:
        length = len(values) if isinstance(values, list) else 0
        raise UnusableAnswer(f"the answer has log-probabilities of {length} tokens, and the prompt has {count}")
    tops = found.get("top_logprobs") or [None] * len(values)
    return [_position(place, values[place], tops[place]) for place in range(1, count)]


def _position(place: int, value: object, top: Mapping[str, float] | None) -> Position:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UnusableAnswer(
            f"the log-probability of the prompt's token {place} is {value!r}, which is no finite number: the model's "
            "scores are broken there (weights, dtype or quantisation), so no perplexity follows from them"
        )
    return Position(float(value), top or {})
