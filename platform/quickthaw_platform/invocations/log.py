"""Reading an invocation's event log, by position; following it to its end through outages of Redis."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

from redis import Redis

from quickthaw.types import Event, InvocationState
from quickthaw_platform.errors import InvocationNotFound, Unavailable
from quickthaw_platform.invocations.outage import OUTAGE, outage_is_unavailable
from quickthaw_platform.invocations.records import parse_event, read_json
from quickthaw_platform.invocations.tails import BATCH_ENTRIES, Place, Tails, log_key, read_entries
from quickthaw_platform.redis_keys import RedisKey

MAX_BLOCK_SECONDS = 15.0
"""Longest single blocking read: less than the client's socket timeout."""

RETRY_SECONDS = (0.05, 0.1, 0.2, 0.5)
"""Pauses between tries in an outage; the last one repeats."""


_ENDED = frozenset(state for state in InvocationState if state.ended)


def inv_key(identity: str) -> str:
    """Return the key of an invocation's record."""
    return RedisKey.INVOCATION.of(identity)


class EventLog:
    """The logs of all invocations, read only. The scripts write them: `put` in prelude.lua."""

    def __init__(
        self,
        redis: Redis,
        patience_seconds: float,
        tails: Tails | None = None,
        read: Callable[[str], Any] = read_json,
    ) -> None:
        """`tails`: where a process that follows more than these logs reads all of it; None: tails of its own.

        `read` returns an event's JSON as a value.
        """
        self._redis = redis
        self._patience_seconds = patience_seconds
        self._tails = tails or Tails(redis)
        self._read_json = read

    def read(self, identity: str, after: int, block_seconds: float) -> list[Event]:
        """Return the events with a seq above `after`; when there are none, wait up to `block_seconds` for some.

        [] when none came. Raises InvocationNotFound when there is no such log, Unavailable in an outage.
        """
        with outage_is_unavailable():
            events = self._read(identity, after, block_seconds)
            if not events:
                self._end(identity)
            return events

    def follow(self, identity: str, after: int, poll_seconds: float) -> Iterator[Event | None]:
        """Yield each event above `after` as it comes, None when `poll_seconds` passed without; end with the log.

        An outage looks like silence; when it outlasts `patience_seconds`, Unavailable is raised.
        """
        for events in self.follow_each(identity, after, poll_seconds):
            yield from events or (None,)

    def follow_each(self, identity: str, after: int, poll_seconds: float) -> Iterator[Sequence[Event]]:
        """Like `follow`, but yield together what came together, and nothing where `poll_seconds` passed without.

        An outage looks like silence; when it outlasts `patience_seconds`, Unavailable is raised.
        """
        with contextlib.closing(Place(self._tails, log_key(identity))) as place:
            yield from self._from(place, identity, after, poll_seconds)

    def _from(self, place: Place, identity: str, after: int, poll_seconds: float) -> Iterator[Sequence[Event]]:
        outage = _Outage(self._patience_seconds)
        waits = False  # at first look what is there: of a log that has ended nothing may be left to wait for
        while True:
            try:
                if waits:
                    events = read_entries(place.take(f"{after}-0", poll_seconds), self._read_json)
                else:
                    events = self._read(identity, after, 0)
                rest = None if events else self._rest(identity, after)
            except OUTAGE as error:
                outage.wait(error)
                if outage.silent_for(poll_seconds):
                    yield ()
                continue
            outage = _Outage(self._patience_seconds)
            if events or rest:
                yield events or rest or ()
            if rest is not None or (events and events[-1].ends):
                return
            if not events and waits:
                yield ()
            after = events[-1].seq if events else after
            # Who is far behind reads until it is not: at a tail it would have those who follow the same log wait.
            waits = place.at_a_tail or len(events) < BATCH_ENTRIES

    def _read(self, identity: str, after: int, block_seconds: float) -> list[Event]:
        block = int(min(block_seconds, MAX_BLOCK_SECONDS) * 1000) or None
        answer = cast("Any", self._redis).xread({log_key(identity): f"{after}-0"}, count=BATCH_ENTRIES, block=block)
        if isinstance(answer, dict):  # RESP3
            answer = [(stream, found[0]) for stream, found in answer.items()]
        return [parse_event(entry, fields["e"], self._read_json) for _, found in answer for entry, fields in found]

    def _rest(self, identity: str, after: int) -> list[Event] | None:
        """Return what a reader who found nothing above `after` has still to see of a log that has ended.

        None: it has not ended, or did so just now and is to be read again. [] : the reader has seen its end. One event:
        the log is shorter than what the reader saw (Redis lost the last moments before a crash), and this is its end.
        """
        ended, last = self._end(identity)
        if not ended or last > after:
            return None
        if last == after:
            return []
        entries = cast("Any", self._redis).xrevrange(log_key(identity), count=1)
        return [parse_event(entry, fields["e"], self._read_json) for entry, fields in entries]

    def _end(self, identity: str) -> tuple[bool, int]:
        """Return whether the invocation has ended, and the number of its last event."""
        state, seq = cast("list[str | None]", self._redis.hmget(inv_key(identity), ["state", "seq"]))
        if state is None or seq is None:
            raise InvocationNotFound(f"no invocation has the id {identity!r}, or its record has expired")
        return state in _ENDED, int(seq)


class _Outage:
    """How long Redis has not answered, and how long a reader has heard nothing because of that."""

    def __init__(self, patience_seconds: float) -> None:
        self._patience_seconds = patience_seconds
        self._since: float | None = None
        self._heard = time.monotonic()
        self._tries = 0

    def wait(self, error: Exception) -> None:
        """Pause before the next try; Unavailable when the patience is at its end."""
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        if now - self._since > self._patience_seconds:
            raise Unavailable(
                f"the platform's store has not answered for {self._patience_seconds:g} s ({error}); the invocation may "
                "still be running: ask for it again later"
            ) from error
        time.sleep(RETRY_SECONDS[min(self._tries, len(RETRY_SECONDS) - 1)])
        self._tries += 1

    def silent_for(self, seconds: float) -> bool:
        """Whether the reader has heard nothing for so long; if so, it is about to."""
        silent = time.monotonic() - self._heard >= seconds
        if silent:
            self._heard = time.monotonic()
        return silent
