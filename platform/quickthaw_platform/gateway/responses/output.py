"""The items of an answer while they are said: each knows the events that tell of it, and what it is so far. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from quickthaw.generation import TokenLogprob, ToolCallDelta
from quickthaw_platform.gateway.openai.logprobs import token_entry
from quickthaw_platform.gateway.turns import in_turns

Told = dict[str, Any]
"""An event without its number, and without the place of the item in the answer."""


class Speaking(Protocol):
    """An item that is being said."""

    id: str

    def begin(self) -> Iterator[Told]:
        """Yield what follows the announcement of the item."""

    def end(self) -> Iterator[Told]:
        """Yield what precedes its end."""

    def body(self, status: str) -> dict[str, Any]:
        """Return the item as it is so far."""


class Message:
    """A text."""

    def __init__(self, identity: str) -> None:
        self.id = f"msg_{identity}"
        self._texts: list[str] = []
        self._logprobs: list[dict[str, Any]] = []

    def begin(self) -> Iterator[Told]:
        """Yield what follows the announcement of the item."""
        yield self._event("response.content_part.added", part=self._part())

    def add(self, text: str, logprobs: Sequence[TokenLogprob]) -> Told:
        """Append a piece of text with its tokens; returns the event that tells it."""
        tokens = [token_entry(entry) for entry in in_turns(logprobs)]
        self.append(text)
        self._logprobs += tokens
        return self.delta(text, list(map(_without_bytes, in_turns(tokens))))

    def append(self, text: str) -> None:
        """Append a piece of text without log-probabilities."""
        self._texts.append(text)

    def delta(self, text: str, logprobs: list[dict[str, Any]]) -> Told:
        """Return the event that tells a piece of text."""
        return self._event("response.output_text.delta", delta=text, logprobs=logprobs)

    def end(self) -> Iterator[Told]:
        """Yield what precedes its end."""
        part = self._part()
        tokens = list(map(_without_bytes, in_turns(part["logprobs"])))
        yield self._event("response.output_text.done", text=part["text"], logprobs=tokens)
        yield self._event("response.content_part.done", part=part)

    def body(self, status: str) -> dict[str, Any]:
        """Return the item as it is so far."""
        content = [self._part()] if self._texts or status != "in_progress" else []
        return {"id": self.id, "type": "message", "status": status, "role": "assistant", "content": content}

    def _event(self, kind: str, **fields: Any) -> Told:
        return {"type": kind, "item_id": self.id, "content_index": 0, **fields}

    def _part(self) -> dict[str, Any]:
        text = "".join(self._texts)
        return {"type": "output_text", "text": text, "annotations": [], "logprobs": list(self._logprobs)}


class Thoughts:
    """What the model thinks before it answers: the content of its item, or (`summary`) the summary."""

    def __init__(self, identity: str, *, summary: bool) -> None:
        self.id = f"rs_{identity}"
        self._summary = summary
        self._texts: list[str] = []
        self._names = _SUMMARY if summary else _CONTENT

    def begin(self) -> Iterator[Told]:
        """Yield what follows the announcement of the item."""
        yield self._event("part.added", part=self._part())

    def add(self, text: str) -> Told:
        """Append a piece; returns the event that tells it."""
        self._texts.append(text)
        return self._event("text.delta", delta=text)

    def end(self) -> Iterator[Told]:
        """Yield what precedes its end."""
        part = self._part()
        yield self._event("text.done", text=part["text"])
        yield self._event("part.done", part=part)

    def body(self, status: str) -> dict[str, Any]:
        """Return the item as it is so far."""
        parts = [self._part()] if self._texts else []
        summary, content = (parts, []) if self._summary else ([], parts)
        return {"id": self.id, "type": "reasoning", "status": status, "summary": summary, "content": content}

    def _event(self, kind: str, **fields: Any) -> Told:
        name, index = self._names[kind], "summary_index" if self._summary else "content_index"
        return {"type": f"response.{name}", "item_id": self.id, index: 0, **fields}

    def _part(self) -> dict[str, Any]:
        return {"type": "summary_text" if self._summary else "reasoning_text", "text": "".join(self._texts)}


_CONTENT = {
    "part.added": "content_part.added",
    "text.delta": "reasoning_text.delta",
    "text.done": "reasoning_text.done",
    "part.done": "content_part.done",
}
_SUMMARY = {kind: f"reasoning_summary_{kind}" for kind in _CONTENT}


class ToolCall:
    """A call of a tool."""

    def __init__(self, identity: str, first: ToolCallDelta) -> None:
        self.id = f"fc_{identity}"
        self.index = first.index
        self._call_id = first.id
        self._name = first.name
        self._arguments: list[str] = []

    def begin(self) -> Iterator[Told]:
        """Yield what follows the announcement of the item: nothing."""
        yield from ()

    def add(self, arguments: str) -> Told:
        """Append a piece of the arguments; returns the event that tells it."""
        self._arguments.append(arguments)
        return {"type": "response.function_call_arguments.delta", "item_id": self.id, "delta": arguments}

    def end(self) -> Iterator[Told]:
        """Yield what precedes its end."""
        arguments = "".join(self._arguments)
        kind = "response.function_call_arguments.done"
        yield {"type": kind, "item_id": self.id, "name": self._name, "arguments": arguments}

    def body(self, status: str) -> dict[str, Any]:
        """Return the item as it is so far."""
        said = {"call_id": self._call_id, "name": self._name, "arguments": "".join(self._arguments)}
        return {"id": self.id, "type": "function_call", "status": status, **said}


def _without_bytes(token: dict[str, Any]) -> dict[str, Any]:
    """Return a token as events have it."""
    top = [{name: entry[name] for name in ("token", "logprob")} for entry in token["top_logprobs"]]
    return {"token": token["token"], "logprob": token["logprob"], "top_logprobs": top}
