"""Legacy completions, whole and in chunks. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from quickthaw.generation import Delta
from quickthaw.types import Event, Usage
from quickthaw_platform.gateway.chunk_template import ChunkTemplate, plain_text
from quickthaw_platform.gateway.openai.answer import Answer, Head
from quickthaw_platform.gateway.openai.logprobs import TextOffsets, text_logprobs
from quickthaw_platform.gateway.openai.mapping import piece, usage_json


def text_response(head: Head, answers: Sequence[Answer], usages: Sequence[Usage]) -> dict[str, Any]:
    """Build the whole answer: the choices of the first prompt, then of the second, and so on."""
    choices = [
        _choice(index, answer.text, text_logprobs(answer.logprobs, answer.offsets), answer.finish_reason or "stop")
        for index, answer in enumerate(answers)
    ]
    return {**head.body("text_completion", choices), "usage": usage_json(usages)}


class TextChunks:
    """Builds the chunks of one prompt's `n` choices, which are numbered from `first`."""

    def __init__(self, head: Head, n: int, include_usage: bool, first: int = 0) -> None:
        self._head = head
        self._offsets = {choice: TextOffsets() for choice in range(n)}  # those that are not finished
        self._include_usage = include_usage
        self._first = first
        self._chunks = 0
        self._templates: dict[int, ChunkTemplate] = {}  # by choice

    def quick(self, event: Event) -> bytes | None:
        """Return the encoded chunk of an event that adds plain text to what was begun; None: see `feed`."""
        plain = plain_text(event)
        if plain is None or plain[0] not in self._offsets:
            return None
        choice, text = plain
        self._chunks += 1
        self._offsets[choice].skip(text)
        template = self._templates.get(choice)
        if template is None:
            template = self._templates[choice] = ChunkTemplate(lambda text: self._chunk(choice, text, None, None))
        return template.fill(text)

    def feed(self, event: Event) -> Iterator[dict[str, Any]]:
        """Yield the chunks that an event makes."""
        delta = piece(event, self._chunks)
        if delta is not None:
            self._chunks += 1
            yield from self._text(delta)
        if event.ends:
            for choice in list(self._offsets):
                yield self._finish(choice, "stop")

    def keep_alive(self) -> dict[str, Any]:
        """Return a chunk that says nothing: some clients count only chunks, not comments."""
        return self._chunk(next(iter(self._offsets), 0), "", None, None)

    def usage(self, usage: Usage) -> dict[str, Any]:
        """Return the chunk that ends a stream with `include_usage`."""
        return {**self._head.body("text_completion", []), "usage": usage_json([usage])}

    def _text(self, delta: Delta) -> Iterator[dict[str, Any]]:
        offsets = self._offsets.get(delta.choice)
        if offsets is not None and (delta.text or delta.logprobs):
            yield self._chunk(delta.choice, delta.text, text_logprobs(delta.logprobs, offsets.add(delta)), None)
        if delta.finish_reason is not None and delta.choice in self._offsets:
            yield self._finish(delta.choice, delta.finish_reason)

    def _finish(self, choice: int, reason: str) -> dict[str, Any]:
        del self._offsets[choice]
        return self._chunk(choice, "", None, reason)

    def _chunk(self, choice: int, text: str, logprobs: Any, finish_reason: str | None) -> dict[str, Any]:
        body = self._head.body("text_completion", [_choice(self._first + choice, text, logprobs, finish_reason)])
        return {**body, "usage": None} if self._include_usage else body


def _choice(index: int, text: str, logprobs: Any, finish_reason: str | None) -> dict[str, Any]:
    return {"index": index, "text": text, "logprobs": logprobs, "finish_reason": finish_reason}
