"""Asks a server for answers that are held to schemas, the same way whoever serves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from benchmarks.assets import question
from benchmarks.client import Target
from benchmarks.load import STREAM_SECONDS, Body, wave
from benchmarks.prompts import sized
from benchmarks.sse import Stream
from benchmarks.streams import tokens_per_second
from benchmarks.structured.answers import Answer
from benchmarks.structured.cases import Case, Schema
from benchmarks.structured.keywords import UNSUPPORTED

PROMPT_TOKENS = 64


@dataclass(frozen=True, slots=True)
class Asker:
    """One server, and the model's name there."""

    target: Target
    model: str

    def answers(self, cases: Sequence[Case], streams: int, max_tokens: int) -> list[Answer]:
        """Ask all cases, so many at once, and judge what comes."""
        bodies = [self._body(question(case.question), max_tokens, case.schema) for case in cases]
        found = asyncio.run(_pooled(self.target, bodies, streams))
        return [Answer.of(case, stream) for case, stream in zip(cases, found, strict=True)]

    def rate(self, seeds: Sequence[int], tokens: int, schema: Schema | None) -> float:
        """Return tokens/s of one stream a seed, all at once; RuntimeError where an answer has another length."""
        bodies = [self._body(sized(PROMPT_TOKENS, seed), tokens, schema) for seed in seeds]
        found = asyncio.run(wave(self.target, bodies))
        for stream in found:
            if not stream.complete or stream.tokens != tokens:
                raise RuntimeError(f"{stream.tokens} tokens instead of {tokens}: {stream.error or stream.text[-200:]}")
        return tokens_per_second(found)

    def first_ms(self, seed: int, schema: Schema | None) -> float:
        """Return the milliseconds to the first text of one answer."""
        (stream,) = asyncio.run(wave(self.target, [self._body(sized(PROMPT_TOKENS, seed), 4, schema)]))
        return stream.first_token_seconds * 1000

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
        return {
            "model": self.model,
            "messages": list(messages),
            "max_tokens": tokens,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
            **held,
        }


async def _pooled(target: Target, bodies: Sequence[Body], streams: int) -> list[Stream]:
    """Send all bodies, at most `streams` at once, and return their streams in order."""
    free = asyncio.Semaphore(streams)

    async def one(body: Body) -> Stream:
        async with free:
            (found,) = await wave(target, [body])
            return found

    return list(await asyncio.gather(*map(one, bodies)))
