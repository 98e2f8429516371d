"""Follow an invocation for a client that waits, and cancel it when the client hangs up."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from quickthaw.types import Event, EventType
from quickthaw_platform.errors import InvocationCancelled, QuickthawError
from quickthaw_platform.gateway.admission import Admitted, cancel
from quickthaw_platform.gateway.disconnect import hung_up
from quickthaw_platform.gateway.services import Services

POLL_SECONDS = 0.5
"""How soon a client that hung up is noticed."""

_OUTPUT = frozenset({EventType.CHUNK, EventType.RESULT, EventType.ERROR})
_log = structlog.get_logger()


class ClientGone(Exception):
    """Nobody waits for the answer any more."""


@dataclass(frozen=True, slots=True)
class Line:
    """The connection to one client, and the invocations that end when it does."""

    services: Services
    environ: Mapping[str, Any]
    calls: Sequence[Admitted]

    def events(self, invocation: str, after: int = 0) -> Iterator[Sequence[Event]]:
        """Yield the invocation's events as they come, none at each silence of POLL_SECONDS.

        ClientGone when the client hangs up.
        """
        looked = time.monotonic()
        for events in self.services.store.follow_each(invocation, after, POLL_SECONDS):
            if time.monotonic() - looked >= POLL_SECONDS:
                looked = time.monotonic()
                if hung_up(self.environ):
                    raise ClientGone
            yield events

    def log(self, invocation: str) -> Iterator[Event]:
        """Yield the invocation's whole log; InvocationCancelled, having cancelled, when the client hangs up."""
        try:
            yield from itertools.chain.from_iterable(self.events(invocation))
        except ClientGone:
            self.hang_up()
            raise InvocationCancelled("the client hung up") from None

    def guard(self, stream: Iterable[bytes]) -> Iterator[bytes]:
        """Pass a stream on; cancel what it shows when the client goes before its end."""
        try:
            yield from stream
        except ClientGone:
            self.hang_up()
        except GeneratorExit:
            # The server closes the stream when a write fails, and also when it shuts down itself. Only the client's
            # leaving is a wish to stop: after a shutdown the client may come back and go on where it was.
            if "gunicorn.socket" not in self.environ or hung_up(self.environ):
                self.hang_up()
            raise

    def hang_up(self) -> None:
        """Cancel what only this client waited for: nothing under an idempotency key, which it may send again."""
        self._cancel([call for call in self.calls if not call.keyed], "the client hung up")

    def give_up(self, *, forget_keys: bool = False) -> None:
        """Cancel what this request began, for it fails as a whole.

        `forget_keys`: nothing of it was answered, so that the same request with the same key is a new one.
        """
        begun = [call for call in self.calls if not call.repeated]
        self._cancel(begun, "another part of the same request failed", forget_key=forget_keys)

    def _cancel(self, calls: Sequence[Admitted], reason: str, *, forget_key: bool = False) -> None:
        for call in calls:
            try:
                cancel(self.services, call.id, reason, forget_key=forget_key)
            except QuickthawError as error:  # nobody is left to be told; the limits end it
                _log.warning("could not cancel", invocation=call.id, error=error.message)


def opening(events: Iterator[Sequence[Event]], seconds: float) -> list[Event]:
    """Take events until there is an output or the end, or for so many seconds: what decides an answer's status."""
    taken: list[Event] = []
    until = time.monotonic() + seconds
    for some in events:
        taken += some
        if first_output(some) is not None or time.monotonic() >= until:
            break
    return taken


def first_output(events: Sequence[Event]) -> Event | None:
    """Return the first event that a client waits for: an output, or the end."""
    return next((event for event in events if event.type in _OUTPUT), None)
