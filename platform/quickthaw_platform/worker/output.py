"""From what a handler yields and returns to chunks and a result. Pure."""

from __future__ import annotations

from typing import Any

from quickthaw.errors import HandlerFailed
from quickthaw.generation import Delta
from quickthaw.json_values import encode, read
from quickthaw.outputs import joined


class Collector:
    """Gathers one invocation's chunks: checks each, bounds their size, and forms the result at the end."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._chunks: list[Delta | Any] = []

    def chunk(self, item: object) -> dict[str, Any]:
        """Take one yielded item and return the chunk's fields: `delta` for a Delta, `value` for any other JSON.

        Raises HandlerFailed for what JSON cannot carry, and when the output grows past its limit.
        """
        if isinstance(item, Delta):
            body: dict[str, Any] = {"delta": item.to_json()}
            # Never below the JSON's length for text in one byte a character; exact to a few bytes otherwise.
            written = sum(len(call.arguments.encode()) + 64 for call in item.tool_calls) + len(item.reasoning.encode())
            self._count(len(item.text.encode()) + written + 8 * len(item.tokens) + 160 * len(item.logprobs) + 32)
        else:
            body = {"value": self._json(item)}
        self._chunks.append(body.get("value", item))
        return body

    def returned(self, value: object) -> Any:
        """Return the result of a handler that is no generator: its plain value."""
        return self._json(joined([value]) if isinstance(value, Delta) else value)

    def result(self) -> Any:
        """Return the result of a generator (see quickthaw.outputs.joined)."""
        return joined(self._chunks)

    def _json(self, value: object) -> Any:
        """Return the value as a reader of its JSON sees it (keys are strings, tuples are lists)."""
        text = encode(value)
        self._count(len(text))
        return value if isinstance(value, str) else read(text)

    def _count(self, size: int) -> None:
        self._bytes += size
        if self._bytes > self._max_bytes:
            raise HandlerFailed(f"the handler put out more than {self._max_bytes:,} bytes, the platform's max_output")
