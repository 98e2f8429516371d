"""What a handler put out, read from an invocation's events, and the result that its outputs make."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from quickthaw import errors, json_values
from quickthaw.generation import Delta
from quickthaw.message import Message
from quickthaw.types import Event, EventType


class Outputs:
    """Reads outputs from events: a Delta or a JSON value each. Raises the error that ended the invocation."""

    def __init__(self) -> None:
        self._some = False

    def take(self, event: Event) -> list[Any]:
        """Return the outputs in this event.

        A handler that returns instead of yielding has no chunks: its result is its one output.
        """
        if event.type is EventType.ERROR:
            raise failure(event)
        if event.type is EventType.CHUNK:
            self._some = True
            return [Delta.from_json(event.data["delta"]) if "delta" in event.data else event.data.get("value")]
        if event.type is EventType.RESULT and not self._some:
            value = event.data.get("value")
            return [] if value == "" else [value]  # "" is also the result of a generator that never yielded
        return []


def failure(event: Event) -> errors.QuickthawError:
    """Rebuild the error in an ERROR event."""
    return errors.from_json(event.data.get("error") or {})


def joined(outputs: Iterable[Any]) -> Any:
    """Return the result of a generator: its text where all outputs are text, else the list of its outputs.

    A text that calls tools is the assistant's message as OpenAI writes it: `role`, `content`, `tool_calls`. Several
    answers (`n`) give the list of theirs. What a model thinks is part of a message alone, and of the stream.
    """
    items = list(outputs)
    if not all(isinstance(item, Delta | str) for item in items):
        return [_plain(item) for item in items]
    messages: defaultdict[int, Message] = defaultdict(Message)
    for item in items:
        delta = Delta(item) if isinstance(item, str) else item
        messages[delta.choice].add(delta)
    if set(messages) - {0}:
        return [messages[choice].result() for choice in sorted(messages)]
    return messages[0].result()


def returned(value: Any) -> Any:
    """Return the result of a handler that is no generator."""
    return joined([value]) if isinstance(value, Delta) else _plain(value)


def streamed(item: Any) -> Any:
    """Return an output as a stream's reader gets it: a Delta or text as it is, anything else as its JSON value."""
    return item if isinstance(item, Delta | str) else json_values.of(item)


def _plain(item: Any) -> Any:
    """Return an output as it stands in a list: a delta is its text, and one with a piece of a call all of it."""
    if isinstance(item, Delta):
        return item.to_json() if item.tool_calls else item.text
    return json_values.of(item)
