"""Sends one request and reads its answer as it comes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from quickthaw.proxies import proxy_for
from quickthaw_platform.traffic.answers import AnswerReader, said
from quickthaw_platform.traffic.target import Target
from quickthaw_platform.traffic.transport import UnboundedTransport

INVOCATION_HEADER = "x-invocation-id"
EVENT_STREAM = "text/event-stream"
_FIRST_WRITES = ("connect_tcp.started", "send_request_headers.started")
_EXCERPT_BYTES = 4_000
LINGER_SECONDS = 1.0


def open_client(target: Target) -> httpx.AsyncClient:
    """Return a client whose connections are not limited in number, nor its answers in time: the caller does that."""
    transport = UnboundedTransport(proxy_for(target.address))
    return httpx.AsyncClient(headers=target.all_headers(), transport=transport, timeout=None)


@dataclass(slots=True)
class Exchange:
    """One request. `clock` gives seconds; after `run`, however it ended, the fields say what is known."""

    clock: Callable[[], float]
    reader: AnswerReader = field(default_factory=AnswerReader)
    sent: float | None = None
    invocation: str | None = None

    async def run(self, http: httpx.AsyncClient, address: str, body: bytes) -> None:
        """Send and read to the end; a refusal or break is in `reader.error`, only cancelling raises."""
        try:
            await self._run(http, address, body)
        except TimeoutError:
            if self.reader.ended is None:  # else the server just does not close a stream that is complete
                raise
        except (httpx.HTTPError, httpx.StreamError) as error:
            if self.reader.ended is None and self.reader.error is None:
                self.reader.error = f"the connection failed: {type(error).__name__}: {error}".removesuffix(": ")

    async def _run(self, http: httpx.AsyncClient, address: str, body: bytes) -> None:
        extensions = {"trace": self._traced}
        async with http.stream("POST", address, content=body, extensions=extensions) as response:
            self.invocation = response.headers.get(INVOCATION_HEADER)
            kind = response.headers.get("content-type", "")
            if response.status_code != httpx.codes.OK:
                excerpt = await _excerpt(response)
                self.reader.error = f"refused with {response.status_code}: {_message(excerpt)}"
            elif not kind.startswith(EVENT_STREAM):
                self.reader.error = _no_stream(kind, await _excerpt(response))
            else:
                await self._read(response)

    async def _read(self, response: httpx.Response) -> None:
        """Read up to the end of the stream, so that the connection can serve again, but not for long after [DONE]."""
        loop = asyncio.get_running_loop()
        pieces = response.aiter_bytes() if "content-encoding" in response.headers else response.aiter_raw()
        async with asyncio.timeout(None) as limit:
            async for piece in pieces:
                self.reader.feed(piece, self.clock())
                if self.reader.error is not None:
                    return
                if self.reader.ended is not None:
                    limit.reschedule(loop.time() + LINGER_SECONDS)

    async def _traced(self, event: str, _: dict[str, Any]) -> None:
        """Take the first thing that is written: the connection, or on one that is open already the request."""
        if self.sent is None and event.endswith(_FIRST_WRITES):
            self.sent = self.clock()


async def _excerpt(response: httpx.Response) -> bytes:
    found = b""
    async for piece in response.aiter_bytes():
        found += piece
        if len(found) >= _EXCERPT_BYTES:
            break
    return found


def _no_stream(kind: str, excerpt: bytes) -> str:
    return (
        f"answered with {kind or 'no content type'} instead of {EVENT_STREAM}: this is no OpenAI-compatible endpoint, "
        f"or it does not stream. It begins {_text(excerpt)[:80]!r}"
    )


def _message(excerpt: bytes) -> str:
    try:
        return said(json.loads(excerpt))
    except ValueError:
        return _text(excerpt)[:200] or "no body"


def _text(excerpt: bytes) -> str:
    return " ".join(excerpt.decode(errors="replace").split())
