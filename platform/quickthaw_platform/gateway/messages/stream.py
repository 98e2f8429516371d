"""Streams as Anthropic's clients expect them; what the router thinks of the wait comes with their pings."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence
from typing import Any

from quickthaw.types import Event, EventType
from quickthaw_platform.errors import QuickthawError
from quickthaw_platform.gateway import sse
from quickthaw_platform.gateway.following import Line
from quickthaw_platform.gateway.messages.errors import error_body
from quickthaw_platform.gateway.messages.events import MessageEvents
from quickthaw_platform.gateway.openai.answer import outcome
from quickthaw_platform.gateway.thaw import waiting_for
from quickthaw_platform.gateway.turns import in_turns


def stream(
    line: Line, started: list[Event], rest: Iterator[Sequence[Event]], builder: MessageEvents, request_id: str
) -> Iterator[bytes]:
    """Yield the answer to the line's only call, to its last event: message_stop, or an error.

    `started` are the events of its log that were taken already, and `rest` the iterator that goes on.
    """
    keepalive = line.services.settings.sse_keepalive
    spoke = time.monotonic() - keepalive
    try:
        for events in itertools.chain([started], rest):
            said = b"".join(_encoded(event, builder) for event in in_turns(events))
            if not said and time.monotonic() - spoke >= keepalive:
                said = b"".join(map(_message, (*builder.begin(), _ping(line, builder))))
            if said:
                spoke = time.monotonic()
                yield said
    except QuickthawError as error:
        yield _message(error_body(error, request_id))


def _encoded(event: Event, builder: MessageEvents) -> bytes:
    quick = builder.quick(event)
    if quick is not None:
        return quick
    said = b"" if event.type is EventType.ERROR else b"".join(map(_message, builder.feed(event)))
    return said + b"".join(map(_message, builder.end(outcome(event)))) if event.ends else said


def _ping(line: Line, builder: MessageEvents) -> dict[str, Any]:
    return {"type": "ping"} if builder.speaks else {"type": "ping", **waiting_for(line, line.calls[0].id)}


def _message(body: dict[str, Any]) -> bytes:
    return sse.message(body, event=body["type"])
