"""A streaming HTTP client lean enough not to be what is measured: raw asyncio, one connection a request."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from benchmarks.sse import Stream, StreamReader

RETRY_SECONDS = 0.005
LOADING_STATUS = 503
_LINE_LIMIT = 1 << 20


class Refused(Exception):
    """The server answered with a status other than 200."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status}: {text}")
        self.status = status


@dataclass(frozen=True, slots=True)
class Target:
    """Where requests go."""

    url: str
    path: str = "/v1/chat/completions"
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        parts = urlsplit(self.url)
        return parts.hostname or "127.0.0.1", parts.port or 80


async def stream(target: Target, body: Mapping[str, Any], reader: StreamReader | None = None) -> Stream:
    """POST `body` and read the answer to its end. A refused, broken or erroneous answer is in `Stream.error`.

    `reader` takes the lines; None: one of an OpenAI-compatible answer, sent now.
    """
    reader = reader or StreamReader(time.monotonic())
    try:
        await _exchange(target, body, reader)
    except (OSError, asyncio.IncompleteReadError, Refused, ValueError) as error:
        reader.error = reader.error or f"{type(error).__name__}: {error}"
    return reader.close(time.monotonic())


async def stream_when_up(
    target: Target, body: Mapping[str, Any], patience_seconds: float, check: Callable[[], None] = lambda: None
) -> Stream:
    """As `stream`, but ask again every few milliseconds while nobody listens or the server says 503: it loads.

    `sent` is the first attempt; `check` is called before each other, and raises where there is nothing to wait for.
    Raises TimeoutError when the server is not up after `patience_seconds`.
    """
    sent = time.monotonic()
    while True:
        reader = StreamReader(sent)
        try:
            await _exchange(target, body, reader)
            return reader.close(time.monotonic())
        except (ConnectionError, Refused) as error:
            if isinstance(error, Refused) and error.status != LOADING_STATUS:
                raise
            if time.monotonic() - sent > patience_seconds:
                raise TimeoutError(f"{target.url} was not up after {patience_seconds} s") from error
            check()
            await asyncio.sleep(RETRY_SECONDS)


async def _exchange(target: Target, body: Mapping[str, Any], into: StreamReader) -> None:
    incoming, outgoing = await asyncio.open_connection(*target.address, limit=_LINE_LIMIT)
    try:
        outgoing.write(_request(target, body))
        await outgoing.drain()
        status, headers = await _head(incoming)
        if status != 200:
            raise Refused(status, (await incoming.read(2000)).decode(errors="replace"))
        async for line in _lines(incoming, chunked=headers.get("transfer-encoding") == "chunked"):
            into.feed(line, time.monotonic())
    finally:
        outgoing.close()


def _request(target: Target, body: Mapping[str, Any]) -> bytes:
    payload = json.dumps(body).encode()
    host, port = target.address
    headers = {
        "Host": f"{host}:{port}",
        "Content-Type": "application/json",
        "Content-Length": str(len(payload)),
        "Connection": "close",
        **target.headers,
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST {target.path} HTTP/1.1\r\n{head}\r\n".encode() + payload


async def _head(incoming: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    status_line, *lines = (await incoming.readuntil(b"\r\n\r\n")).decode("latin-1").strip().split("\r\n")
    pairs = (line.partition(":") for line in lines)
    return int(status_line.split()[1]), {name.lower(): value.strip().lower() for name, _, value in pairs}


async def _lines(incoming: asyncio.StreamReader, *, chunked: bool) -> AsyncIterator[bytes]:
    rest = b""
    async for part in _parts(incoming, chunked=chunked):
        *whole, rest = (rest + part).split(b"\n")
        for line in whole:
            yield line
    if rest:
        yield rest


async def _parts(incoming: asyncio.StreamReader, *, chunked: bool) -> AsyncIterator[bytes]:
    if not chunked:
        while part := await incoming.read(65_536):
            yield part
        return
    while size := int((await incoming.readline()).split(b";")[0] or b"0", 16):
        yield (await incoming.readexactly(size + 2))[:-2]
