"""One blocking read for all the streams that a process follows: not a connection, a command and an answer for each."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from redis import Redis
from redis.connection import Connection

from quickthaw.types import Event
from quickthaw_platform.invocations.outage import OUTAGE
from quickthaw_platform.invocations.records import parse_event, read_json
from quickthaw_platform.redis_keys import RedisKey

BATCH_ENTRIES = 500
BLOCK_SECONDS = 5.0
"""Longest single blocking read: less than the client's socket timeout."""

MAX_WAITING = 64
"""Batches that a follower may leave unread; the reader leaves one that lags further, and it opens another tail."""

_RACE_PAUSE_SECONDS = 0.001

Entries = Sequence[tuple[str, Sequence[str]]]
"""Of a stream: id, and names and values in a row."""

Found = tuple[str, Entries]
"""The key of a stream, and what is new there."""

Position = tuple[int, int]
"""The id of an entry, which reads `milliseconds-number`, as it is ordered."""


def log_key(identity: str) -> str:
    """Return the key of an invocation's log."""
    return RedisKey.INVOCATION_LOG.of(identity)


def position_of(entry_id: str) -> Position:
    """Return where an entry stands in its stream."""
    milliseconds, _, number = entry_id.partition("-")
    return int(milliseconds), int(number)


def read_entries(entries: Entries, read: Callable[[str], Any] = read_json) -> list[Event]:
    """Read entries of an invocation's log, whose first field is the event (see `put` in prelude.lua)."""
    return [parse_event(entry, flat[1], read) for entry, flat in entries]


def fields(flat: Sequence[str]) -> dict[str, str]:
    """Return an entry's names and values."""
    return dict(zip(flat[::2], flat[1::2], strict=True))


class Tail:
    """A follower's place in a stream. The reader puts into it what comes there; the follower takes it."""

    def __init__(self, after: str, forget: Callable[[Tail], None]) -> None:
        """It begins behind the entry `after`; `forget` has the reader leave it."""
        self.last = position_of(after)  # of the last entry that was put
        self._forget = forget
        self._came: queue.SimpleQueue[Entries | Exception] = queue.SimpleQueue()
        self._left = False

    @property
    def used_up(self) -> bool:
        """Whether the reader has left it, and nothing that was put is still to be taken."""
        return self._left and self._came.empty()

    def take(self, seconds: float) -> Entries:
        """Return what came; nothing where nothing did for so many seconds. Raises the error that the reader met."""
        try:
            came = self._came.get(timeout=seconds)
        except queue.Empty:
            return ()
        if isinstance(came, Exception):
            raise came
        return came

    def put(self, entries: Entries) -> None:
        """Add entries of the stream, as far as they are not there."""
        if position_of(entries[0][0]) <= self.last:  # the read was for one who is further behind
            entries = [entry for entry in entries if position_of(entry[0]) > self.last]
        if not entries:
            return
        self.last = position_of(entries[-1][0])
        self._came.put(entries)
        if self._came.qsize() >= MAX_WAITING:
            self.close()

    def fail(self, error: Exception) -> None:
        """Add the error that ended the reading."""
        self._came.put(error)
        self.close()

    def close(self) -> None:
        """Have the reader leave it. Idempotent."""
        if not self._left:
            self._left = True
            self._forget(self)


class Place:
    """Where a follower is in a stream: at a tail, or at none yet."""

    def __init__(self, tails: Tails, key: str) -> None:
        self._tails = tails
        self._key = key
        self._tail: Tail | None = None

    @property
    def at_a_tail(self) -> bool:
        """Whether what comes is put where it is taken from; else what has come already is found sooner by reading."""
        return self._tail is not None and not self._tail.used_up

    def take(self, after: str, seconds: float) -> Entries:
        """Return what came behind the entry `after`, the last one that was taken; see Tail.take."""
        if self._tail is None or self._tail.used_up:
            self._tail = self._tails.open(self._key, after)
        return self._tail.take(seconds)

    def close(self) -> None:
        """Wait no more."""
        if self._tail is not None:
            self._tail.close()


class Tails:
    """The streams that this process follows, and the thread that reads them, each once however many follow it.

    Safe to share by threads and greenlets.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._changed = threading.Condition()  # guards `_tails` and `_reader`
        self._tails: dict[str, list[Tail]] = {}  # by the stream's key
        self._reader: threading.Thread | None = None
        self._connection: Connection | None = None  # the reader's
        self._client_id = 0  # by which Redis knows that
        self._reading: dict[str, Position] = {}  # what the read under way is of, and behind which entries

    def open(self, key: str, after: str) -> Tail:
        """Follow a stream from behind an entry."""
        tail = Tail(after, lambda tail: self._forget(key, tail))
        with self._changed:
            self._tails.setdefault(key, []).append(tail)
            if self._reader is None:
                self._reader = threading.Thread(target=self._run, name="log-reader", daemon=True)
                self._reader.start()
            self._changed.notify()
        self._interrupt(key, tail)
        return tail

    def _forget(self, key: str, tail: Tail) -> None:
        with self._changed:
            tails = self._tails.get(key, [])
            if tail in tails:
                tails.remove(tail)
            if not tails:
                self._tails.pop(key, None)

    def _interrupt(self, key: str, tail: Tail) -> None:
        """End the read under way, unless it brings all that comes behind the tail's beginning: the next one does."""
        try:
            while (reading := self._reading) and not tail.used_up:
                if key in reading and reading[key] <= tail.last:
                    return
                if self._redis.client_unblock(self._client_id):
                    return
                time.sleep(_RACE_PAUSE_SECONDS)  # its command is still on the way, or its answer
        except OUTAGE:
            return  # the reader meets it too

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._tails:
                    self._changed.wait()
                reading = self._reading = {key: min(tail.last for tail in tails) for key, tails in self._tails.items()}
            try:
                found = self._read(reading)
            except Exception as error:  # noqa: BLE001 - whatever it is, those who wait for the read are to hear it
                self._reading = {}
                self._disconnect()
                for tail, _ in self._following([(key, ()) for key in reading], dict.fromkeys(reading, (0, 0))):
                    tail.fail(error)
                continue
            self._reading = {}
            for tail, entries in self._following(found, reading):
                tail.put(entries)

    def _following(self, found: Sequence[Found], since: Mapping[str, Position]) -> list[tuple[Tail, Entries]]:
        """Return what was found, for each tail that has all of its stream up to the entry it was read from."""
        with self._changed:
            return [
                (tail, entries)
                for key, entries in found
                for tail in self._tails.get(key, ())
                if tail.last >= since[key]
            ]

    def _read(self, streams: dict[str, Position]) -> list[Found]:
        """Wait for entries of any of the streams, or for the time to pass, or to be interrupted."""
        connection = self._connection or self._connect()
        lasts = [f"{milliseconds}-{number}" for milliseconds, number in streams.values()]
        block = int(BLOCK_SECONDS * 1000)
        read = ("XREAD", "COUNT", BATCH_ENTRIES, "BLOCK", block, "STREAMS", *streams, *lasts)
        connection.send_command(*read)  # type: ignore[no-untyped-call]  # redis leaves it unannotated
        answer: Any = connection.read_response()
        return list(answer.items() if isinstance(answer, dict) else answer or ())  # a dict with RESP3

    def _connect(self) -> Connection:
        connection = self._connection = self._redis.connection_pool.get_connection()
        connection.disconnect()  # type: ignore[no-untyped-call]  # it may have broken while nobody used it
        connection.send_command("CLIENT", "ID")  # type: ignore[no-untyped-call]
        self._client_id = connection.read_response()
        return connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.disconnect()  # type: ignore[no-untyped-call]  # redis leaves it unannotated
            self._redis.connection_pool.release(connection)
