"""Asks a server for answers that are held to schemas, the same way whoever serves."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from benchmarks.assets import question
from benchmarks.bodies import greedy_body
from benchmarks.client import Target, stream
from benchmarks.load import STREAM_SECONDS, Body, wave
from benchmarks.prompts import sized
from benchmarks.sse import Stream
from benchmarks.streams import tokens_per_second
from benchmarks.structured.answers import Answer
from benchmarks.structured.cases import Case, Schema
from benchmarks.structured.keywords import UNSUPPORTED
from benchmarks.structured.tools import LARGE

PROMPT_TOKENS = 64
ANSWER_SECONDS = 40.0
"""An answer that has not ended after this is broken: llama.cpp's grammar of a large schema can take minutes."""


@dataclass(frozen=True, slots=True)
class Asker:
    """One server, and the model's name there."""

    target: Target
    model: str

    def answers(self, cases: Sequence[Case], streams: int, max_tokens: int) -> list[Answer]:
        """Ask all cases, so many at once, and judge what comes. The large ones come last: they may hold up others."""
        ordered = sorted(cases, key=lambda case: case.group == LARGE)
        bodies = [self._body(question(case.question), max_tokens, case.schema) for case in ordered]
        first = sum(case.group != LARGE for case in ordered)
        waves = (bodies[:first], bodies[first:])
        found = [one for some in waves for one in asyncio.run(_pooled(self.target, some, streams))]
        return [Answer.of(case, one) for case, one in zip(ordered, found, strict=True)]

    def rate(self, seeds: Sequence[int], tokens: int, schema: Schema | None) -> float:
        """Return tokens/s of one stream a seed, all at once; RuntimeError where an answer has another length."""
        bodies = [self._body(sized(PROMPT_TOKENS, seed), tokens, schema) for seed in seeds]
        found = asyncio.run(wave(self.target, bodies))
        for one in found:
            if not one.complete or one.tokens != tokens:
                raise RuntimeError(f"{one.tokens} tokens instead of {tokens}: {one.error or one.text[-200:]}")
        return tokens_per_second(found)

    def first_ms(self, seed: int, schema: Schema | None) -> float:
        """Return the milliseconds to the first text of one answer."""
        (one,) = asyncio.run(wave(self.target, [self._body(sized(PROMPT_TOKENS, seed), 4, schema)]))
        return one.first_token_seconds * 1000

    def refuses_by_name(self) -> float:
        """Return the share of the unsupported keywords that are refused with 400 and named."""
        named = [self._is_named(keyword, schema) for keyword, schema in UNSUPPORTED.items()]
        return sum(named) / len(named)

    def _is_named(self, keyword: str, schema: Schema) -> bool:
        body = {**self._body(question(), 8, schema), "stream": False}
        answer = httpx.post(
            self.target.url + self.target.path, json=body, headers=dict(self.target.headers), timeout=STREAM_SECONDS
        )
        return answer.status_code == 400 and keyword in json.dumps(answer.json())

    def _body(self, messages: Sequence[Mapping[str, str]], tokens: int, schema: Schema | None) -> dict[str, Any]:
        held: dict[str, Any] = {"ignore_eos": True}
        if schema is not None:
            shape = {"name": "answer", "strict": True, "schema": dict(schema)}
            held = {"response_format": {"type": "json_schema", "json_schema": shape}}
        return greedy_body(self.model, messages, tokens, **held)


async def _pooled(target: Target, bodies: Sequence[Body], streams: int) -> list[Stream]:
    """Send all bodies, at most `streams` at once, and return their streams in order."""
    free = asyncio.Semaphore(streams)

    async def one(body: Body) -> Stream:
        async with free:
            sent = time.monotonic()
            try:
                return await asyncio.wait_for(stream(target, body), ANSWER_SECONDS)
            except TimeoutError:
                return Stream(sent, time.monotonic(), (), done=False, error=f"no end after {ANSWER_SECONDS} s")

    return list(await asyncio.gather(*map(one, bodies)))
