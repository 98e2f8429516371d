"""Ranged GETs of one object straight into memory, over connections that stay open, going on where one broke off."""

from __future__ import annotations

import http.client
import random
import re
import threading
import time
from collections.abc import Callable, Iterator
from functools import cache
from urllib.parse import SplitResult, urlsplit

from urllib3.util import wait_for_read

from quickthaw_platform.checkpoints.remote.connections import Road, trusted
from quickthaw_platform.contracts import RemoteObject
from quickthaw_platform.errors import (
    LoadCancelled,
    RemoteChanged,
    RemoteDenied,
    RemoteError,
    RemoteMissing,
    RemoteUnavailable,
)

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5.0
RENEW_SHARE = 0.5
"""Of a signature's life, after which a new one is made."""

_RETRIED = frozenset({408, 425, 429})

PIECE_BYTES = 1 << 18
"""Read at a time, or less where less has come; in between it is asked whether to stop."""

_FINAL: dict[int, tuple[type[RemoteError], str]] = {
    401: (RemoteDenied, "may not be read with these credentials"),
    403: (RemoteDenied, "may not be read with these credentials"),
    404: (RemoteMissing, "is not there"),
    412: (RemoteChanged, "was replaced while it was read"),
    416: (RemoteChanged, "was replaced by a shorter one while it was read"),
}
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/")


class SignedUrls:
    """A signed URL for each object of one host, made anew in good time before it expires."""

    def __init__(self, sign: Callable[[str], str], seconds: float) -> None:
        """`sign` makes a URL that is good for so many seconds."""
        self._sign = sign
        self._seconds = seconds
        self._lock = threading.Lock()
        self._made: dict[str, tuple[float, SplitResult]] = {}

    def of(self, key: str) -> SplitResult:
        """Return an object's URL."""
        with self._lock:
            made = self._made.get(key)
            if made is None or time.monotonic() - made[0] > self._seconds * RENEW_SHARE:
                made = self._made[key] = (time.monotonic(), urlsplit(self._sign(key)))
            return made[1]


class _Broken(Exception):
    """A try failed in a way that another may not; the message says how."""


class RangeReader:
    """Any thread may call. Connections are kept for the next read, whichever thread makes it."""

    def __init__(
        self,
        urls: SignedUrls,
        *,
        tries: int,
        connect_seconds: float,
        read_seconds: float,
        ca_bundle: str | None = None,
    ) -> None:
        """`tries` in a row that bring nothing are the limit; `read_seconds` without a byte end a try."""
        self._urls = urls
        self._tries = tries
        self._connect_seconds = connect_seconds
        self._read_seconds = read_seconds
        self._trusted = cache(lambda: trusted(ca_bundle))  # made where it is needed: it takes many milliseconds
        self._lock = threading.Lock()
        self._idle: list[http.client.HTTPConnection] = []

    def read(self, found: RemoteObject, begin: int, into: memoryview, stop: Callable[[], bool]) -> None:
        """Fill `into` with the object's bytes from `begin` on; see contracts.RemoteStore.get_range."""
        done, fruitless = 0, 0
        while done < len(into):
            before = done
            try:
                for got in self._one_try(found, begin + done, into[done:], stop):
                    done += got
            except _Broken as broken:
                fruitless = 0 if done > before else fruitless + 1
                if fruitless >= self._tries:
                    raise RemoteUnavailable(f"{found.key}: {broken}, {self._tries} times in a row") from broken
                _pause(found.key, fruitless, stop)

    def close(self) -> None:
        """Close the connections that are not in use. Idempotent."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _one_try(self, found: RemoteObject, begin: int, into: memoryview, stop: Callable[[], bool]) -> Iterator[int]:
        """Yield how many bytes came, again and again. Raises _Broken, or what no other try can mend."""
        url = self._urls.of(found.key)
        road = Road.to(url)
        connection = self._take(url, road)
        whole = False
        try:
            response = self._ask(connection, road, url, found, begin, len(into))
            _check(response, found, begin, len(into))
            while into:
                if stop():
                    raise LoadCancelled(f"fetching {found.key} was stopped")
                got = response.fp.readinto1(into[:PIECE_BYTES])  # what has come, however slowly more does
                if not got:
                    raise _Broken(f"the connection ended {len(into):,} bytes early")
                into = into[got:]
                yield got
            response.close()
            whole = True  # _check has seen that the answer ends here: the connection can be used again
        except (OSError, http.client.HTTPException, ValueError) as error:  # ValueError: an etag that is no header
            raise _Broken(road.named(error)) from error
        finally:
            self._let_go(connection, good=whole)

    def _ask(
        self,
        connection: http.client.HTTPConnection,
        road: Road,
        url: SplitResult,
        found: RemoteObject,
        begin: int,
        size: int,
    ) -> http.client.HTTPResponse:
        headers = {"Range": f"bytes={begin}-{begin + size - 1}", "If-Match": found.etag, "Accept-Encoding": "identity"}
        connection.request("GET", road.target(url), headers=headers | road.headers(url))
        if connection.sock is not None:
            connection.sock.settimeout(self._read_seconds)
        return connection.getresponse()

    def _take(self, url: SplitResult, road: Road) -> http.client.HTTPConnection:
        while (kept := self._take_idle()) is not None:
            if kept.sock is not None and not wait_for_read(kept.sock, 0):
                return kept
            kept.close()  # the server has closed it meanwhile
        return road.connection(url, self._trusted, self._connect_seconds)

    def _take_idle(self) -> http.client.HTTPConnection | None:
        with self._lock:
            return self._idle.pop() if self._idle else None

    def _let_go(self, connection: http.client.HTTPConnection, *, good: bool) -> None:
        if good:
            with self._lock:
                self._idle.append(connection)
        else:
            connection.close()  # nothing on it can be trusted after half a response


def _check(response: http.client.HTTPResponse, found: RemoteObject, begin: int, size: int) -> None:
    status = response.status
    if status in _FINAL:
        kind, what = _FINAL[status]
        raise kind(f"{found.key} {what} (status {status})")
    if status >= http.HTTPStatus.INTERNAL_SERVER_ERROR or status in _RETRIED:
        raise _Broken(f"it answers with status {status}")
    if status != http.HTTPStatus.PARTIAL_CONTENT:
        raise RemoteUnavailable(f"{found.key}: the store answers a ranged GET with status {status} instead of 206")
    if response.getheader("ETag") not in (None, found.etag):
        raise RemoteChanged(f"{found.key} was replaced while it was read")
    answered = _CONTENT_RANGE.match(response.getheader("Content-Range") or "")
    if answered is None or (int(answered[1]), int(answered[2])) != (begin, begin + size - 1):
        raise _Broken(f"it answers with {response.getheader('Content-Range')} for bytes {begin} to {begin + size - 1}")
    if response.length != size:
        sent = "without a Content-Length" if response.length is None else f"with {response.length:,} bytes"
        raise _Broken(f"it answers {sent} where {size:,} were asked for")


def _pause(key: str, fruitless: int, stop: Callable[[], bool]) -> None:
    """Wait longer after each try in vain, by a random part, so that many readers do not come back at once."""
    longest = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2**fruitless)
    due = time.monotonic() + random.uniform(longest / 2, longest)
    while (left := due - time.monotonic()) > 0:
        if stop():
            raise LoadCancelled(f"fetching {key} was stopped")
        time.sleep(min(left, 0.05))
