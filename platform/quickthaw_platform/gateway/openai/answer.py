"""The answers of one invocation, put together from its events. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from quickthaw.generation import Delta, TokenLogprob, ToolCallDelta
from quickthaw.types import Event, EventType, Usage
from quickthaw_platform.errors import QuickthawError, from_json
from quickthaw_platform.gateway.openai.logprobs import TextOffsets
from quickthaw_platform.gateway.openai.mapping import piece
from quickthaw_platform.gateway.turns import in_turns


@dataclass(frozen=True, slots=True)
class Head:
    """What every chunk of one answer repeats."""

    id: str
    created: int
    model: str

    def body(self, object_: str, choices: Sequence[Any]) -> dict[str, Any]:
        """Return an answer or a chunk."""
        return {
            "id": self.id,
            "object": object_,
            "created": self.created,
            "model": self.model,
            "choices": list(choices),
        }


@dataclass(slots=True)
class Answer:
    """One choice: what was said, what was thought before it, and the calls of tools that were made."""

    text: str = ""
    reasoning: str = ""
    calls: dict[int, ToolCallDelta] = field(default_factory=dict)  # by index
    logprobs: list[TokenLogprob] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)  # of the tokens of `logprobs` in the text, in characters
    finish_reason: str | None = None
    _places: TextOffsets = field(default_factory=TextOffsets)

    @property
    def tool_calls(self) -> list[ToolCallDelta]:
        """The calls, whole, in order: `arguments` of each is JSON text."""
        return [self.calls[index] for index in sorted(self.calls)]

    def add(self, delta: Delta) -> None:
        """Append a piece."""
        self.text += delta.text
        self.reasoning += delta.reasoning
        self.logprobs += delta.logprobs
        self.offsets += self._places.add(delta)
        self.finish_reason = delta.finish_reason or self.finish_reason
        for piece_of_call in delta.tool_calls:
            self._add_call(piece_of_call)

    def _add_call(self, new: ToolCallDelta) -> None:
        old = self.calls.get(new.index, ToolCallDelta(new.index))
        self.calls[new.index] = ToolCallDelta(
            new.index, old.id or new.id, old.name or new.name, old.arguments + new.arguments
        )


def collect(events: Iterable[Event], n: int) -> tuple[list[Answer], Usage]:
    """Put the `n` answers together; raises the error that the log ends with."""
    answers = [Answer() for _ in range(n)]
    chunks = 0
    usage = Usage()
    for event in in_turns(events):
        delta = piece(event, chunks)
        if delta is not None and delta.choice < n:
            chunks += 1
            answers[delta.choice].add(delta)
        if event.ends:
            usage = outcome(event)
    return answers, usage


def outcome(last: Event) -> Usage:
    """Return the usage that a log's last event names; raises the error it carries instead."""
    if last.type is EventType.ERROR:
        raise failure(last)
    return Usage.model_validate(last.data.get("usage") or {})


def failure(last: Event) -> QuickthawError:
    """Return the error that ended an invocation."""
    return from_json(last.data["error"])
