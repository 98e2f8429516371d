"""Reading an invocation's event log, by position; following it to its end through outages of Redis."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from typing import Any, cast

from redis import Redis

from quickthaw.types import Event, InvocationState
from quickthaw_platform.errors import InvocationNotFound, Unavailable
from quickthaw_platform.invocations.outage import OUTAGE, outage_is_unavailable
from quickthaw_platform.invocations.records import parse_event
from quickthaw_platform.invocations.tails import BATCH_EVENTS, Tail, Tails, log_key
from quickthaw_platform.redis_keys import RedisKey

MAX_BLOCK_SECONDS = 15.0
"""Longest single blocking read: less than the client's socket timeout."""

RETRY_SECONDS = (0.05, 0.1, 0.2, 0.5)
"""Pauses between tries in an outage; the last one repeats."""


def inv_key(identity: str) -> str:
    """Return the key of an invocation's record."""
    return RedisKey.INVOCATION.of(identity)


class EventLog:
    """The logs of all invocations, read only. The scripts write them: `put` in prelude.lua."""

    def __init__(self, redis: Redis, patience_seconds: float) -> None:
        self._redis = redis
        self._patience_seconds = patience_seconds
        self._tails = Tails(redis)

    def read(self, identity: str, after: int, block_seconds: float) -> list[Event]:
        """Return the events with a seq above `after`; when there are none, wait up to `block_seconds` for some.

        [] when none came. Raises InvocationNotFound when there is no such log, Unavailable in an outage.
        """
        with outage_is_unavailable():
            events = self._read(identity, after, block_seconds)
            if not events:
                self._state(identity)
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
        place = _Place(self._tails, identity)
        with contextlib.closing(place):
            yield from self._from(place, identity, after, poll_seconds)

    def _from(self, place: _Place, identity: str, after: int, poll_seconds: float) -> Iterator[Sequence[Event]]:
        outage = _Outage(self._patience_seconds)
        block_seconds = 0.0  # at first look what is there: of a log that has ended nothing may be left to wait for
        while True:
            try:
                events = self._next(place, identity, after, block_seconds)
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
            if not events and block_seconds:
                yield ()
            after = events[-1].seq if events else after
            block_seconds = poll_seconds

    def _next(self, place: _Place, identity: str, after: int, block_seconds: float) -> list[Event]:
        tail = place.tail(after) if block_seconds else None
        return self._read(identity, after, block_seconds) if tail is None else tail.take(block_seconds)

    def _read(self, identity: str, after: int, block_seconds: float) -> list[Event]:
        block = int(min(block_seconds, MAX_BLOCK_SECONDS) * 1000) or None
        answer = cast("Any", self._redis).xread({log_key(identity): f"{after}-0"}, count=BATCH_EVENTS, block=block)
        if isinstance(answer, dict):  # RESP3
            answer = [(stream, found[0]) for stream, found in answer.items()]
        return [parse_event(entry, fields["e"]) for _, found in answer for entry, fields in found]

    def _rest(self, identity: str, after: int) -> list[Event] | None:
        """Return what a reader who found nothing above `after` has still to see of a log that has ended.

        None: it has not ended, or did so just now and is to be read again. [] : the reader has seen its end. One event:
        the log is shorter than what the reader saw (Redis lost the last moments before a crash), and this is its end.
        """
        state, last = self._state(identity)
        if not state.ended or last > after:
            return None
        if last == after:
            return []
        entries = cast("Any", self._redis).xrevrange(log_key(identity), count=1)
        return [parse_event(entry, fields["e"]) for entry, fields in entries]

    def _state(self, identity: str) -> tuple[InvocationState, int]:
        state, seq = cast("list[str | None]", self._redis.hmget(inv_key(identity), ["state", "seq"]))
        if state is None or seq is None:
            raise InvocationNotFound(f"no invocation has the id {identity!r}, or its record has expired")
        return InvocationState(state), int(seq)


class _Place:
    """Where a follower waits for what comes: in a tail, or nowhere while another follower has the log's."""

    def __init__(self, tails: Tails, identity: str) -> None:
        self._tails = tails
        self._identity = identity
        self._tail: Tail | None = None

    def tail(self, after: int) -> Tail | None:
        """Return the tail to wait at, which begins behind event `after` where it is a new one."""
        if self._tail is None or self._tail.used_up:
            self._tail = self._tails.open(self._identity, after)
        return self._tail

    def close(self) -> None:
        """Wait no more."""
        if self._tail is not None:
            self._tail.close()


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
