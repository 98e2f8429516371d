"""A response as server-sent events."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from quickthaw.types import Event
from quickthaw_platform.errors import QuickthawError
from quickthaw_platform.gateway import sse
from quickthaw_platform.gateway.following import Line
from quickthaw_platform.gateway.responses.events import ResponseEvents
from quickthaw_platform.gateway.responses.output import Told
from quickthaw_platform.gateway.thaw import waiting_for

ALL = -1
"""Go on behind this number for every event: the first has the number 0."""


def stream(
    line: Line,
    invocation: str,
    started: Sequence[Event],
    log: Iterator[Sequence[Event]],
    told: ResponseEvents,
    after: int,
) -> Iterator[bytes]:
    """Yield the events numbered above `after` of what was `started` and of the `log` behind it.

    A log that cannot be read any more is told by an `error` event: the client may ask for the rest later.
    """
    keepalive_seconds = line.services.settings.sse_keepalive
    spoke = time.monotonic() - keepalive_seconds
    try:
        yield _encoded(told.begin(), after)
        for events in itertools.chain([started], log):
            said = _encoded(itertools.chain.from_iterable(map(told.feed, events)), after)
            if not said and time.monotonic() - spoke >= keepalive_seconds:
                said = _comment(waiting_for(line, invocation) if told.waiting else {})
            if said:
                spoke = time.monotonic()
                yield said
    except QuickthawError as error:
        yield _encoded([told.broken(error)], after)


def _comment(fields: Mapping[str, Any]) -> bytes:
    """Return what clients pass over: an event would need a number, and the log has none for it."""
    return f": {sse.compact(fields)}\n\n".encode()


def _encoded(told: Iterable[Told], after: int) -> bytes:
    return b"".join(sse.message(each, event=each["type"]) for each in told if each["sequence_number"] > after)
