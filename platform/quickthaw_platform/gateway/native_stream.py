"""The stream of an invocation's events, with what it waits for told in between."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

from quickthaw.types import Event, EventType, InvocationInfo
from quickthaw_platform.errors import QuickthawError, Unavailable
from quickthaw_platform.gateway import sse
from quickthaw_platform.gateway.following import Line
from quickthaw_platform.gateway.turns import in_turns

STATUS_SECONDS = 1.0
"""How often a waiting client may hear of a change of its place."""


def stream(line: Line, invocation: str, after: int) -> Iterator[bytes]:
    """Yield the log above `after` as server-sent events; each silence is filled with a status, which has no id."""
    statuses = _Statuses(line, invocation)
    try:
        for events in line.events(invocation, after):
            encoded = statuses.pass_on(events) if events else statuses.between()
            if encoded is not None:
                yield encoded
    except QuickthawError as error:
        yield sse.message({"error": error.to_json()}, event=EventType.ERROR.value)


class _Statuses:
    """Decides what is said when the log is silent."""

    def __init__(self, line: Line, invocation: str) -> None:
        self._line = line
        self._invocation = invocation
        self._status: dict[str, Any] = {}
        self._asked = self._spoke = time.monotonic()
        self._waiting = True

    def pass_on(self, events: Sequence[Event]) -> bytes:
        """Encode events of the log."""
        self._spoke = time.monotonic()
        self._waiting = self._waiting and not any(event.type is EventType.CHUNK for event in events)
        return b"".join(map(sse.event, in_turns(events)))

    def between(self) -> bytes | None:
        """Return a status where something has changed or the silence grows long."""
        now = time.monotonic()
        long_silence = now - self._spoke >= self._line.services.settings.sse_keepalive
        if not long_silence and not (self._waiting and now - self._asked >= STATUS_SECONDS):
            return None
        self._asked = now
        status = self._ask()
        if status == self._status and not long_silence:
            return None
        self._status, self._spoke = status, now
        return sse.message(status, event=EventType.STATUS.value)

    def _ask(self) -> dict[str, Any]:
        try:
            return status_of(self._line.services.store.get(self._invocation))
        except Unavailable:  # an outage that the stream may outlive
            return self._status


def status_of(info: InvocationInfo) -> dict[str, Any]:
    """Return where an invocation stands: its state and what is known of its wait."""
    shown = ("state", "position", "reason", "estimate_seconds", "node", "instance")
    fields = info.model_dump(mode="json")
    return {name: fields[name] for name in shown if fields[name] is not None}
