"""One answer of a model, put together from its deltas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from quickthaw.generation import Delta, FinishReason, ToolCallDelta


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a tool that a model makes; `arguments` is the JSON text that it wrote."""

    id: str
    name: str
    arguments: str

    def to_json(self) -> dict[str, Any]:
        """Return the call as OpenAI's chat completions write it."""
        return {"id": self.id, "type": "function", "function": {"name": self.name, "arguments": self.arguments}}


class Message:
    """What one answer says: its text, what was thought before it, and the calls of tools that it makes."""

    def __init__(self) -> None:
        self.finish_reason: FinishReason | None = None
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._calls: list[list[ToolCallDelta]] = []  # the pieces of each call
        self._current: dict[int, list[ToolCallDelta]] = {}  # … of the latest call by its index

    def add(self, delta: Delta) -> None:
        """Append a piece. A call that comes with an id is a new one, also where its index was seen before."""
        self._text.append(delta.text)
        self._reasoning.append(delta.reasoning)
        for piece in delta.tool_calls:
            if piece.id or piece.index not in self._current:
                self._current[piece.index] = []
                self._calls.append(self._current[piece.index])
            self._current[piece.index].append(piece)
        self.finish_reason = delta.finish_reason or self.finish_reason

    @property
    def text(self) -> str:
        """The answer itself."""
        return "".join(self._text)

    @property
    def reasoning(self) -> str:
        """What the model thought first."""
        return "".join(self._reasoning)

    @property
    def tool_calls(self) -> list[ToolCall]:
        """The calls, in the order in which they were begun."""
        return [_joined(pieces) for pieces in self._calls]

    def to_json(self) -> dict[str, Any]:
        """Return it as the assistant's message of a conversation; fields that say nothing are left out."""
        body: dict[str, Any] = {"role": "assistant", "content": self.text}
        if self.reasoning:
            body["reasoning_content"] = self.reasoning
        if self._calls:
            body |= {"content": self.text or None, "tool_calls": [call.to_json() for call in self.tool_calls]}
        return body

    def result(self) -> str | dict[str, Any]:
        """Return what it comes to: the text, or the whole message where it calls tools."""
        return self.to_json() if self._calls else self.text


def _joined(pieces: list[ToolCallDelta]) -> ToolCall:
    return ToolCall(
        "".join(piece.id for piece in pieces),
        "".join(piece.name for piece in pieces),
        "".join(piece.arguments for piece in pieces),
    )
