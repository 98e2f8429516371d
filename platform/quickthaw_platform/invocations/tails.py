"""One blocking read for all the logs that a process follows: not a connection, a command and an answer for each."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from redis import Redis
from redis.connection import Connection

from quickthaw.types import Event
from quickthaw_platform.invocations.outage import OUTAGE
from quickthaw_platform.invocations.records import parse_event
from quickthaw_platform.redis_keys import RedisKey

BATCH_EVENTS = 500
BLOCK_SECONDS = 5.0
"""Longest single blocking read: less than the client's socket timeout."""

MAX_WAITING = 64
"""Batches that a follower may leave unread; the reader leaves one that lags further, and it opens another tail."""

_RACE_PAUSE_SECONDS = 0.001

Entries = Sequence[tuple[str, Sequence[str]]]
"""Of a stream: id, and names and values in a row."""


def log_key(identity: str) -> str:
    """Return the key of an invocation's log."""
    return RedisKey.INVOCATION_LOG.of(identity)


def read_entries(entries: Entries) -> list[Event]:
    """Read entries of a log."""
    return [parse_event(entry, dict(zip(flat[::2], flat[1::2], strict=True))["e"]) for entry, flat in entries]


class Tail:
    """A follower's place in a log. The reader puts into it what comes there; the follower takes it."""

    def __init__(self, after: int, forget: Callable[[], None]) -> None:
        """It begins behind event `after`; `forget` has the reader leave it."""
        self.last = f"{after}-0"  # the id of the last entry that was put
        self._forget = forget
        self._came: queue.SimpleQueue[Entries | Exception] = queue.SimpleQueue()
        self._left = False

    @property
    def used_up(self) -> bool:
        """Whether the reader has left it, and nothing that was put is still to be taken."""
        return self._left and self._came.empty()

    def take(self, seconds: float) -> list[Event]:
        """Return what came; [] where nothing did for so many seconds. Raises the error that the reader met."""
        try:
            came = self._came.get(timeout=seconds)
        except queue.Empty:
            return []
        if isinstance(came, Exception):
            raise came
        return read_entries(came)

    def put(self, entries: Entries) -> None:
        """Add entries of the log."""
        self.last = entries[-1][0]
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
            self._forget()


class Tails:
    """The logs that this process follows, and the thread that reads them. Safe to share by threads and greenlets."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._changed = threading.Condition()  # guards `_tails` and `_reader`
        self._tails: dict[str, Tail] = {}  # by the log's key
        self._reader: threading.Thread | None = None
        self._connection: Connection | None = None  # the reader's
        self._client_id = 0  # by which Redis knows that
        self._reading: dict[str, Tail] = {}  # those that the read under way is of

    def open(self, identity: str, after: int) -> Tail | None:
        """Follow a log from behind a position; None where somebody in this process follows it already."""
        key = log_key(identity)
        with self._changed:
            if key in self._tails:
                return None
            tail = self._tails[key] = Tail(after, lambda: self._forget(key))
            if self._reader is None:
                self._reader = threading.Thread(target=self._run, name="log-reader", daemon=True)
                self._reader.start()
            self._changed.notify()
        self._interrupt(key, tail)
        return tail

    def _forget(self, key: str) -> None:
        with self._changed:
            self._tails.pop(key, None)

    def _interrupt(self, key: str, tail: Tail) -> None:
        """End the read under way, unless it is of this log too: the next one is."""
        try:
            while (reading := self._reading) and reading.get(key) is not tail and not tail.used_up:
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
                reading = self._reading = dict(self._tails)
            try:
                found = self._read(reading)
            except Exception as error:  # noqa: BLE001 - whatever it is, those who wait for the read are to hear it
                self._reading = {}
                self._disconnect()
                for tail in reading.values():
                    tail.fail(error)
                continue
            self._reading = {}
            for key, entries in found:
                reading[key].put(entries)

    def _read(self, tails: dict[str, Tail]) -> list[tuple[str, Entries]]:
        """Wait for entries of any of the logs, or for the time to pass, or to be interrupted."""
        connection = self._connection or self._connect()
        lasts = [tail.last for tail in tails.values()]
        milliseconds = int(BLOCK_SECONDS * 1000)
        read = ("XREAD", "COUNT", BATCH_EVENTS, "BLOCK", milliseconds, "STREAMS", *tails, *lasts)
        connection.send_command(*read)  # type: ignore[no-untyped-call]  # redis leaves it unannotated
        answer: Any = connection.read_response()
        return list(answer.items() if isinstance(answer, dict) else answer or ())  # a dict with RESP3

    def _connect(self) -> Connection:
        connection = self._connection = self._redis.connection_pool.get_connection()
        connection.send_command("CLIENT", "ID")  # type: ignore[no-untyped-call]
        self._client_id = connection.read_response()
        return connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.disconnect()  # type: ignore[no-untyped-call]  # redis leaves it unannotated
            self._redis.connection_pool.release(connection)
