"""A gateway that answers from a script, and one way to drive both clients."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx

from quickthaw import AsyncClient, Backoff, Client

URL = "http://gateway.test:8080"
NO_WAIT = Backoff(attempts=4, first_seconds=0.0)

INVOCATION = {
    "id": "inv-1",
    "function": "chat",
    "version": "v1",
    "state": "succeeded",
    "epoch": 1,
    "created_at": 1.0,
    "result": "Paris",
}


@dataclass
class FakeGateway:
    """Answers request n with reply n: a response, an error to raise, or a function of the request."""

    replies: list[httpx.Response | Exception | Callable[[httpx.Request], httpx.Response]]
    requests: list[httpx.Request] = field(default_factory=list)

    @property
    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self._answer)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        reply = self.replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return _fresh(reply(request) if callable(reply) else reply)

    @property
    def lines(self) -> list[str]:
        """What was asked, as `METHOD /path?query`."""
        return [f"{r.method} {r.url.raw_path.decode()}" for r in self.requests]

    def body(self, index: int = -1) -> Any:
        return json.loads(self.requests[index].content)


def _fresh(reply: httpx.Response) -> httpx.Response:
    """Copy a scripted reply: httpx binds the one it gets to its client, and tables are used by both."""
    if isinstance(reply.stream, Pieces):
        return httpx.Response(reply.status_code, headers=reply.headers, stream=reply.stream)
    return httpx.Response(reply.status_code, headers=reply.headers, content=reply.content)


class Pieces(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body in pieces, that may end with an error."""

    def __init__(self, pieces: Iterable[bytes], error: Exception | None = None) -> None:
        self._pieces = list(pieces)
        self._error = error

    def __iter__(self) -> Iterator[bytes]:
        yield from self._pieces
        if self._error is not None:
            raise self._error

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self:
            yield piece


def event(seq: int, kind: str, data: dict[str, Any]) -> bytes:
    """One event as the gateway writes it; seq 0 has no id."""
    id_line = f"id: {seq}\n" if seq else ""
    return f"{id_line}event: {kind}\ndata: {json.dumps(data)}\n\n".encode()


def stream(*pieces: bytes, error: Exception | None = None, invocation: str | None = "inv-1") -> httpx.Response:
    """A stream's reply; with `error` the connection breaks behind the pieces."""
    headers = {"content-type": "text/event-stream"}
    if invocation is not None:
        headers["x-invocation-id"] = invocation
    return httpx.Response(200, headers=headers, stream=Pieces(pieces, error))


def failed(status: int, code: str, message: str = "no", headers: dict[str, str] | None = None) -> httpx.Response:
    """An error's reply."""
    error = {"message": message, "type": "t", "param": None, "code": code}
    return httpx.Response(status, json={"error": error}, headers=headers)


def call_sync(gateway: FakeGateway, method: str, *args: Any, **kwargs: Any) -> Any:
    """Call a method of `Client`; a generator's items become a list."""
    with Client(URL, "qt-key", backoff=NO_WAIT, transport=gateway.transport) as client:
        value = getattr(client, method)(*args, **kwargs)
        return list(value) if inspect.isgenerator(value) else value


def call_async(gateway: FakeGateway, method: str, *args: Any, **kwargs: Any) -> Any:
    """Call a method of `AsyncClient`; a generator's items become a list."""

    async def run() -> Any:
        async with AsyncClient(URL, "qt-key", backoff=NO_WAIT, transport=gateway.transport) as client:
            value = getattr(client, method)(*args, **kwargs)
            if inspect.isasyncgen(value):
                return [item async for item in value]
            return await value if inspect.isawaitable(value) else value

    return asyncio.run(run())


STATUS = event(1, "status", {"state": "running"})
PAR = event(2, "chunk", {"delta": {"text": "Par", "tokens": [1]}})
IS = event(3, "chunk", {"delta": {"text": "is", "tokens": [2], "finish_reason": "stop"}})
RESULT = event(4, "result", {"value": "Paris", "usage": {"prompt_tokens": 1, "completion_tokens": 2}})
RESET = httpx.ReadError("connection reset")
