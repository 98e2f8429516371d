"""What a handler put out, read from an invocation's events, and the result that its outputs make."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from quickthaw import errors
from quickthaw.generation import Delta
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

    Several answers (`n`) give the list of their texts.
    """
    items = list(outputs)
    if not all(isinstance(item, Delta | str) for item in items):
        return [str(item) if isinstance(item, Delta) else item for item in items]
    texts: dict[int, str] = {}
    for item in items:
        choice = item.choice if isinstance(item, Delta) else 0
        texts[choice] = texts.get(choice, "") + str(item)
    return [texts[choice] for choice in sorted(texts)] if set(texts) - {0} else texts.get(0, "")
