"""A chunk of a stream, encoded but for its text: nearly all of a token's chunk is what all the others repeat."""

from __future__ import annotations

from collections.abc import Callable
from json.encoder import encode_basestring
from typing import Any

from quickthaw.types import Event, EventType
from quickthaw_platform.gateway import sse

_MORE = frozenset({"logprobs", "finish_reason", "reasoning", "tool_calls"})
_HOLE = "\x00text\x00"  # in no name and no id


class ChunkTemplate:
    """Encodes chunks that differ in their text only."""

    def __init__(self, make: Callable[[str], dict[str, Any]], event: str | None = None) -> None:
        """`make` returns the chunk with a text; `event` is the name of the event that it is sent as."""
        self._before, _, self._after = sse.message(make(_HOLE), event=event).partition(sse.compact(_HOLE).encode())

    def fill(self, text: str) -> bytes:
        """Return the encoded chunk with this text."""
        return self._before + encode_basestring(text).encode() + self._after


def plain_text(event: Event) -> tuple[int, str] | None:
    """Return choice and text of an event that is text of the model and nothing else; None of any other."""
    delta = event.data.get("delta") if event.type is EventType.CHUNK else None
    if delta is None or not delta["text"] or not _MORE.isdisjoint(delta):
        return None
    return delta.get("choice", 0), delta["text"]
