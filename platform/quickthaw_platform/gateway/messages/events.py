"""The events that an answer is streamed as, and the whole answer as what they add up to. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from quickthaw.generation import Delta, ToolCallDelta
from quickthaw.types import Event, Usage
from quickthaw_platform.gateway.chunk_template import ChunkTemplate, plain_text
from quickthaw_platform.gateway.openai.mapping import piece

_SIGNATURE_CHARACTERS = 32
INVALID_JSON = "INVALID_JSON"
"""What holds the text of an input that is not JSON, since it was cut off: as Anthropic has it sent back."""


@dataclass(frozen=True, slots=True)
class Head:
    """What an answer begins with."""

    id: str
    model: str


class MessageEvents:
    """Builds the events of one answer, from the events of its invocation's log."""

    def __init__(self, head: Head, *, shows_thinking: bool = True) -> None:
        """`shows_thinking`: whether blocks of thinking have their text."""
        self._head = head
        self._shows_thinking = shows_thinking
        self.begun = False
        self._chunks = 0
        self._blocks = 0
        self._open: tuple[str, int] | None = None  # kind of the open block and, of tool_use, the call's index
        self._thought = ""  # of the open block
        self._called = False
        self._finish: str | None = None
        self._stop: str | None = None
        self._template: ChunkTemplate | None = None  # of the open block of text

    @property
    def speaks(self) -> bool:
        """Whether something was put out: the wait for the function is over."""
        return self._chunks > 0

    def begin(self, usage: dict[str, int] | None = None) -> Iterator[dict[str, Any]]:
        """Yield the first event, unless it was sent; without `usage` nothing is known of the prompt's tokens yet."""
        if self.begun:
            return
        self.begun = True
        yield {
            "type": "message_start",
            "message": {
                "id": self._head.id,
                "type": "message",
                "role": "assistant",
                "model": self._head.model,
                "content": [],
                "stop_reason": None,
                "stop_sequence": None,
                "usage": usage or usage_of(Usage()),
            },
        }

    def quick(self, event: Event) -> bytes | None:
        """Return the encoded event of one that adds plain text to the open block of text; None: see `feed`."""
        plain = plain_text(event)
        if self._template is None or plain is None or plain[0] != 0:
            return None
        self._chunks += 1
        return self._template.fill(plain[1])

    def feed(self, event: Event) -> Iterator[dict[str, Any]]:
        """Yield what an event of the log makes; the log's last one is for `end`."""
        delta = piece(event, self._chunks)
        if delta is None or delta.choice != 0:
            return
        self._chunks += 1
        yield from self.begin(_prompt_usage(delta))
        if delta.reasoning:
            yield from self._thinking(delta.reasoning)
        if delta.text:
            yield from self._text(delta.text)
        for call in delta.tool_calls:
            yield from self._call(call)
        if delta.finish_reason is not None:
            self._finish, self._stop = delta.finish_reason, delta.stop

    def end(self, usage: Usage) -> Iterator[dict[str, Any]]:
        """Yield the events that end the stream."""
        yield from self.begin()
        yield from self._close()
        reason = self._reason()
        yield {
            "type": "message_delta",
            "delta": {"stop_reason": reason, "stop_sequence": self._stop if reason == "stop_sequence" else None},
            "usage": usage_of(usage),
        }
        yield {"type": "message_stop"}

    def _reason(self) -> str:
        if self._finish == "length":
            return "max_tokens"
        if self._finish == "tool_calls" or self._called:
            return "tool_use"
        return "end_turn" if self._stop is None else "stop_sequence"

    def _thinking(self, text: str) -> Iterator[dict[str, Any]]:
        yield from self._switch(("thinking", 0), {"type": "thinking", "thinking": "", "signature": ""})
        self._thought += text
        if self._shows_thinking:
            yield self._delta({"type": "thinking_delta", "thinking": text})

    def _text(self, text: str) -> Iterator[dict[str, Any]]:
        yield from self._switch(("text", 0), {"type": "text", "text": ""})
        self._template = self._template or ChunkTemplate(self._text_delta, "content_block_delta")
        yield self._text_delta(text)

    def _call(self, call: ToolCallDelta) -> Iterator[dict[str, Any]]:
        self._called = True
        block = {"type": "tool_use", "id": call.id, "name": call.name, "input": {}}
        yield from self._switch(("tool_use", call.index), block)
        if call.arguments:
            yield self._delta({"type": "input_json_delta", "partial_json": call.arguments})

    def _switch(self, kind: tuple[str, int], block: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Open a block, unless it is open."""
        if self._open == kind:
            return
        yield from self._close()
        self._open = kind
        yield {"type": "content_block_start", "index": self._blocks, "content_block": block}

    def _close(self) -> Iterator[dict[str, Any]]:
        if self._open is None:
            return
        if self._open[0] == "thinking":
            yield self._delta({"type": "signature_delta", "signature": _signature(self._thought)})
        yield {"type": "content_block_stop", "index": self._blocks}
        self._open, self._thought, self._template = None, "", None
        self._blocks += 1

    def _delta(self, delta: dict[str, Any]) -> dict[str, Any]:
        return {"type": "content_block_delta", "index": self._blocks, "delta": delta}

    def _text_delta(self, text: str) -> dict[str, Any]:
        return self._delta({"type": "text_delta", "text": text})


def whole(events: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return the message that a stream's events add up to."""
    message: dict[str, Any] = {}
    inputs: dict[int, str] = {}  # JSON text, by the block's index
    for event in events:
        match event["type"]:
            case "message_start":
                message = event["message"]
            case "content_block_start":
                message["content"].append(event["content_block"])
            case "content_block_delta":
                _add(message["content"][-1], event["delta"], inputs, event["index"])
            case "message_delta":
                message |= {**event["delta"], "usage": event["usage"]}
    for index, text in inputs.items():
        message["content"][index]["input"] = _input(text)
    return message


def usage_of(usage: Usage) -> dict[str, Any]:
    """Return Anthropic's usage: what a cache had is not part of `input_tokens`."""
    before = {"original_input_tokens": usage.original_tokens, "compression": usage.compression}
    return {
        "input_tokens": usage.prompt_tokens - usage.cached_tokens,
        "output_tokens": usage.completion_tokens,
        "cache_read_input_tokens": usage.cached_tokens,
        "cache_creation_input_tokens": 0,
        **({} if usage.compression is None else before),
    }


def _prompt_usage(delta: Delta) -> dict[str, Any] | None:
    if delta.prompt_tokens is None:
        return None
    return usage_of(Usage(prompt_tokens=delta.prompt_tokens, cached_tokens=delta.cached_tokens or 0))


def _add(block: dict[str, Any], delta: dict[str, Any], inputs: dict[int, str], index: int) -> None:
    match delta["type"]:
        case "text_delta":
            block["text"] += delta["text"]
        case "thinking_delta":
            block["thinking"] += delta["thinking"]
        case "signature_delta":
            block["signature"] = delta["signature"]
        case "input_json_delta":
            inputs[index] = inputs.get(index, "") + delta["partial_json"]


def _input(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {INVALID_JSON: text}
    return value if isinstance(value, dict) else {INVALID_JSON: text}


def _signature(thought: str) -> str:
    """Return a digest, for clients that drop thoughts without a signature; nothing verifies it."""
    return hashlib.sha256(thought.encode()).hexdigest()[:_SIGNATURE_CHARACTERS]
