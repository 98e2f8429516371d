"""Read server-sent events of an answer."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from quickthaw.sse import SSEParser


class Message(NamedTuple):
    """One event with its data parsed; "[DONE]" stays text."""

    id: str | None
    event: str
    data: Any


def messages(body: bytes) -> list[Message]:
    """Parse a whole body."""
    return [
        Message(e.id, e.event, e.data if e.data == "[DONE]" else json.loads(e.data)) for e in SSEParser().feed(body)
    ]
