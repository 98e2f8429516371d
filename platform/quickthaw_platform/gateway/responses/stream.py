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
from quickthaw_platform.gateway.responses.events import Piece, ResponseEvents
from quickthaw_platform.gateway.responses.output import Message, Told
from quickthaw_platform.gateway.thaw import waiting_for
from quickthaw_platform.gateway.turns import in_turns

_TEXT, _NUMBER = "\x00text\x00", "\x00number\x00"  # in no name and no id

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
    encoder = Encoder(told, after)
    try:
        yield _encoded(told.begin(), after)
        for events in itertools.chain([started], log):
            said = b"".join(map(encoder.encode, in_turns(events)))
            if not said and time.monotonic() - spoke >= keepalive_seconds:
                said = _comment(waiting_for(line, invocation) if told.waiting else {})
            if said:
                spoke = time.monotonic()
                yield said
    except QuickthawError as error:
        yield _encoded([told.broken(error)], after)


class Encoder:
    """Encodes what events of the log mean. Nearly all of a piece of text is what all the others of its item repeat."""

    def __init__(self, told: ResponseEvents, after: int) -> None:
        self._told = told
        self._after = after
        self._item: Message | None = None  # whose template there is
        self._around: list[bytes] = []

    def encode(self, event: Event) -> bytes:
        """Return the encoded events that one of the log means, those numbered above `after`."""
        piece = self._told.quick(event)
        if piece is None:
            return _encoded(self._told.feed(event), self._after)
        if piece.number <= self._after:
            return b""
        if piece.item is not self._item:
            self._item, self._around = piece.item, _template(piece)
        before, between, behind = self._around
        return b"".join((before, sse.compact(piece.text).encode(), between, str(piece.number).encode(), behind))


def _template(piece: Piece) -> list[bytes]:
    """Return what stands before, between and behind the text and the number of a piece."""
    told = {**piece.told(), "delta": _TEXT, "sequence_number": _NUMBER}
    before, rest = sse.message(told, event=told["type"]).split(sse.compact(_TEXT).encode())
    return [before, *rest.split(sse.compact(_NUMBER).encode())]


def _comment(fields: Mapping[str, Any]) -> bytes:
    """Return what clients pass over: an event would need a number, and the log has none for it."""
    return f": {sse.compact(fields)}\n\n".encode()


def _encoded(told: Iterable[Told], after: int) -> bytes:
    return b"".join(sse.message(each, event=each["type"]) for each in told if each["sequence_number"] > after)
