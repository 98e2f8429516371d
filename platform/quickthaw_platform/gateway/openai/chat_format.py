"""Chat completions, whole and in chunks. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from quickthaw.generation import Delta, TokenLogprob
from quickthaw.types import Event, Usage
from quickthaw_platform.gateway.chunk_template import ChunkTemplate, plain_text
from quickthaw_platform.gateway.openai.answer import Answer, Head
from quickthaw_platform.gateway.openai.assistant_message import message, reason, said_in
from quickthaw_platform.gateway.openai.logprobs import token_entry
from quickthaw_platform.gateway.openai.mapping import piece, usage_json
from quickthaw_platform.gateway.turns import in_turns


def chat_response(head: Head, answers: Sequence[Answer], usage: Usage, legacy: bool = False) -> dict[str, Any]:
    """Build the whole answer; `legacy`: calls of tools in the older form, as `function_call`."""
    choices = [
        {
            "index": index,
            "message": message(answer, legacy),
            "logprobs": chat_logprobs(answer.logprobs),
            "finish_reason": reason(answer.finish_reason or "stop", legacy),
        }
        for index, answer in enumerate(answers)
    ]
    return {**head.body("chat.completion", choices), "usage": usage_json([usage])}


class ChatChunks:
    """Builds the chunks of one streamed answer with `n` choices, event by event."""

    def __init__(self, head: Head, n: int, include_usage: bool, legacy: bool = False) -> None:
        """`legacy`: calls of tools in the older form, as `function_call`."""
        self._head = head
        self._legacy = legacy
        self._open = dict.fromkeys(range(n), False)  # choice to whether its role has been sent; gone when finished
        self._include_usage = include_usage
        self._chunks = 0
        self._templates: dict[int, ChunkTemplate] = {}  # by choice

    def quick(self, event: Event) -> bytes | None:
        """Return the encoded chunk of an event that adds plain text to what was begun; None: see `feed`."""
        plain = plain_text(event)
        if plain is None or not self._open.get(plain[0]):
            return None
        choice, text = plain
        self._chunks += 1
        template = self._templates.get(choice)
        if template is None:
            template = self._templates[choice] = ChunkTemplate(lambda text: self._chunk(choice, {"content": text}))
        return template.fill(text)

    def feed(self, event: Event) -> Iterator[dict[str, Any]]:
        """Yield the chunks that an event makes."""
        delta = piece(event, self._chunks)
        if delta is not None:
            self._chunks += 1
            yield from self._text(delta)
        if event.ends:
            for choice in list(self._open):
                yield from self._finish(choice, "stop")

    def keep_alive(self) -> dict[str, Any]:
        """Return a chunk without text: some clients count only chunks, not comments. The first one has the role."""
        choice = next(iter(self._open), 0)
        return next(self._begin(choice), None) or self._chunk(choice, {})

    def usage(self, usage: Usage) -> dict[str, Any]:
        """Return the chunk that ends a stream with `include_usage`."""
        return {**self._head.body("chat.completion.chunk", []), "usage": usage_json([usage])}

    def _text(self, delta: Delta) -> Iterator[dict[str, Any]]:
        logprobs = chat_logprobs(delta.logprobs)
        for said in said_in(delta, self._legacy):
            yield from self._begin(delta.choice, "" if "content" in said else None)
            yield self._chunk(delta.choice, said, logprobs=logprobs)
            logprobs = None  # the tokens are told once
        if delta.finish_reason is not None:
            yield from self._finish(delta.choice, delta.finish_reason)

    def _begin(self, choice: int, content: str | None = "") -> Iterator[dict[str, Any]]:
        if self._open.get(choice) is False:
            self._open[choice] = True
            yield self._chunk(choice, {"role": "assistant", "content": content})

    def _finish(self, choice: int, why: str) -> Iterator[dict[str, Any]]:
        yield from self._begin(choice)
        if self._open.pop(choice, None) is not None:
            yield self._chunk(choice, {}, finish_reason=reason(why, self._legacy))

    def _chunk(self, choice: int, delta: dict[str, Any], **fields: Any) -> dict[str, Any]:
        entry = {"index": choice, "delta": delta, "logprobs": None, "finish_reason": None, **fields}
        body = self._head.body("chat.completion.chunk", [entry])
        return {**body, "usage": None} if self._include_usage else body


def chat_logprobs(entries: Sequence[TokenLogprob]) -> dict[str, Any] | None:
    """Return token log-probabilities as chat completions carry them; None where there are none."""
    if not entries:
        return None
    return {"content": [token_entry(entry) for entry in in_turns(entries)], "refusal": None}
