"""A response as server-sent events."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Iterator, Sequence

from quickthaw.types import Event
from quickthaw_platform.errors import QuickthawError
from quickthaw_platform.gateway import sse
from quickthaw_platform.gateway.responses.events import ResponseEvents
from quickthaw_platform.gateway.responses.output import Told

KEEP_ALIVE = b": keep-alive\n\n"
"""A comment, which OpenAI's clients pass over: an event would need a number, and the log has none for it."""


def stream(
    log: Iterator[Sequence[Event]], started: Sequence[Event], told: ResponseEvents, keepalive_seconds: float, after: int
) -> Iterator[bytes]:
    """Yield the events numbered above `after` (-1: all) of what was `started` and of the `log` behind it.

    A log that cannot be read any more is told by an `error` event: the client may ask for the rest later.
    """
    spoke = time.monotonic() - keepalive_seconds
    try:
        yield _encoded(told.begin(), after)
        for events in itertools.chain([started], log):
            said = _encoded(itertools.chain.from_iterable(map(told.feed, events)), after)
            if not said and time.monotonic() - spoke >= keepalive_seconds:
                said = KEEP_ALIVE
            if said:
                spoke = time.monotonic()
                yield said
    except QuickthawError as error:
        yield _encoded([told.broken(error)], after)


def _encoded(told: Iterable[Told], after: int) -> bytes:
    return b"".join(sse.message(each, event=each["type"]) for each in told if each["sequence_number"] > after)
