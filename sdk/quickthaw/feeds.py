"""Streams that survive a broken connection, without I/O: what to send next, what the bytes mean, when to give up.

A client opens `request()`, hands over the body with `feed()`, and after a break asks `failed()` how long to wait
before it opens the next `request()`, which continues behind the last event seen.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Generic, TypeVar

from quickthaw import calls, errors
from quickthaw.protocol import INVOCATION_HEADER, Attempts, Call, Fault, Reply, parse
from quickthaw.resources import LogLine
from quickthaw.sse import ServerSentEvent, SSEParser
from quickthaw.types import Event, EventType

T = TypeVar("T")

SILENCE_SECONDS = 60.0
"""A stream that says nothing for so long is taken for dead; a gateway sends something every ten seconds."""

_EVENT_TYPES = frozenset(EventType)
_END_OF_BODY = Fault("the stream ended before its last event", sent=True)


class Feed(ABC, Generic[T]):
    """One stream across all its connections."""

    def __init__(self, attempts: Attempts) -> None:
        self._attempts = attempts
        self._parser = SSEParser()
        self.ended = False

    @abstractmethod
    def request(self) -> Call[None]:
        """Return what to send now."""

    @abstractmethod
    def _read(self, event: ServerSentEvent) -> T | None:
        """Return the record in an event; None for one that was seen before or is not known."""

    def opened(self, headers: Mapping[str, str]) -> None:  # noqa: ARG002  (a log has nothing to learn from them)
        """A successful reply has begun."""
        self._parser = SSEParser()
        self._attempts.reached()

    def feed(self, chunk: bytes) -> list[T]:
        """Return what these bytes complete. Nothing after the last event counts."""
        events = self._parser.feed(chunk)
        return [record for event in events if not self.ended and (record := self._read(event)) is not None]

    def failed(self, fault: Fault = _END_OF_BODY) -> float:
        """Return the seconds to the next attempt after a break (by default: the body was over too early), or raise."""
        # Silence is a break like any other here, for there is a place to continue from.
        return self._attempts.failed(Fault(fault.detail, fault.sent), repeatable=True)

    def refused(self, reply: Reply) -> float:
        """Return the seconds to the next attempt after an error reply, or raise the error."""
        return self._attempts.refused(reply, repeatable=True)


class EventFeed(Feed[Event]):
    """The events of one invocation: opened by its POST or by its id, continued by its id."""

    def __init__(self, attempts: Attempts, opening: Call[None], invocation: str | None = None, after: int = 0) -> None:
        super().__init__(attempts)
        self._opening = opening
        self._last = after
        self.invocation = invocation

    def request(self) -> Call[None]:
        """Return the opening call until it has told the invocation's id."""
        if self.invocation is None:
            return self._opening
        return calls.events(self.invocation, self._last)

    def opened(self, headers: Mapping[str, str]) -> None:
        """Learn the invocation's id."""
        super().opened(headers)
        self.invocation = self.invocation or headers.get(INVOCATION_HEADER)

    def _read(self, event: ServerSentEvent) -> Event | None:
        if event.event not in _EVENT_TYPES:
            return None
        seq = int(event.id) if event.id else 0
        if seq and seq <= self._last:
            return None
        if seq:
            self._last = seq
            self._attempts.progressed()  # only the log counts: a status says no more than that a gateway lives
        record: Event = parse(Event, {"seq": seq, "type": event.event, "data": json_of(event)})
        self.ended = record.ends
        return record


class LogFeed(Feed[LogLine]):
    """The log lines of a function; it has no end."""

    def __init__(self, attempts: Attempts, function: str, after: str | None) -> None:
        super().__init__(attempts)
        self._function = function
        self._last = after

    def request(self) -> Call[None]:
        """Continue behind the last line seen."""
        return calls.follow_logs(self._function, self._last)

    def _read(self, event: ServerSentEvent) -> LogLine | None:
        body = json_of(event)
        if event.event == EventType.ERROR:
            raise errors.from_json(body.get("error", body) if isinstance(body, dict) else {})
        if event.id is None:
            return None
        line: LogLine = parse(LogLine, body)
        self._last = event.id
        self._attempts.progressed()
        return line


def json_of(event: ServerSentEvent) -> Any:
    """Read an event's data."""
    try:
        return json.loads(event.data)
    except ValueError as error:
        raise errors.QuickthawError(f"the stream holds what is not JSON: {error}", code="bad_reply") from error
