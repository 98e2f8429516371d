"""Server-sent events, encoded and nothing else."""

from __future__ import annotations

import json
from typing import Any

from quickthaw.types import Event
from quickthaw_platform.gateway.json_pieces import written

CONTENT_TYPE = "text/event-stream; charset=utf-8"
HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no", "Content-Type": CONTENT_TYPE}
DONE = b"data: [DONE]\n\n"
compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
"""Returns JSON in one line."""


def message(body: Any, *, event: str | None = None, position: str | None = None) -> bytes:
    """Encode one event; `position` is what a client sends back as `Last-Event-ID`."""
    lines = [
        f"id: {position}\n" if position else "",
        f"event: {event}\n" if event else "",
        f"data: {written(body, compact)}\n\n",
    ]
    return "".join(lines).encode()


def event(entry: Event) -> bytes:
    """Encode an entry of an invocation's log; one that is not in the log (seq 0) has no id."""
    return message(entry.data, event=entry.type.value, position=str(entry.seq) if entry.seq else None)
