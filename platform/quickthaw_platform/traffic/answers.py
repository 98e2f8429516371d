"""Reads one streamed answer, noting when each output arrived. Pure: it is told the time."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from quickthaw.sse import SSEParser

DONE = "[DONE]"


@dataclass(slots=True)
class AnswerReader:
    """Takes an answer piece by piece. Chunks without text (the role, the usage, keep-alives) are no outputs.

    It is whole when [DONE] has come, or a reason for its end: `transformers serve` sends no [DONE].
    """

    outputs: list[float] = field(default_factory=list)  # when each came
    ended: float | None = None  # when [DONE] came
    finish_reason: str | None = None
    error: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    _parser: SSEParser = field(default_factory=SSEParser)

    def feed(self, piece: bytes, at: float) -> None:
        """Take bytes that came at `at`."""
        for event in self._parser.feed(piece):
            if self.ended is not None or self.error is not None:
                return
            if event.data == DONE:
                self.ended = at
            else:
                self._take(event.data, at)

    def verdict(self) -> str | None:
        """Return why the answer is a miss; None where it is whole."""
        if self.error is not None:
            return self.error
        if self.ended is None and self.finish_reason is None:
            return "the stream broke off: it ended without [DONE] and without a finish_reason"
        return None if self.outputs else "the answer is empty: it ended without an output"

    def _take(self, data: str, at: float) -> None:
        try:
            chunk = json.loads(data)
        except ValueError:
            self.error = f"a chunk of the stream is not JSON: {data[:100]!r}"
            return
        if not isinstance(chunk, dict):
            self.error = f"a chunk of the stream is not an object: {data[:100]!r}"
        elif chunk.get("error"):
            self.error = f"the stream ended with an error: {said(chunk)}"
        else:
            self._count(chunk.get("usage"))
            choices = [choice for choice in chunk.get("choices") or () if isinstance(choice, dict)]
            if any(map(_speaks, choices)):
                self.outputs.append(at)
            self.finish_reason = next(filter(None, (c.get("finish_reason") for c in choices)), self.finish_reason)

    def _count(self, usage: object) -> None:
        if isinstance(usage, dict):
            self.prompt_tokens = usage.get("prompt_tokens", self.prompt_tokens)
            self.completion_tokens = usage.get("completion_tokens", self.completion_tokens)


def said(body: object) -> str:
    """Return the message in an error's body, however it is wrapped."""
    found = body.get("error", body) if isinstance(body, dict) else body
    message = found.get("message", found) if isinstance(found, dict) else found
    return str(message)[:300]


def _speaks(choice: dict[str, Any]) -> bool:
    delta = choice.get("delta") or {}
    return bool(choice.get("text") or delta.get("content") or delta.get("reasoning_content") or delta.get("tool_calls"))
