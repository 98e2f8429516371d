"""Makes the generator itself warm: what it does for the first time must not delay the first request."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import Iterator

import httpx

from quickthaw_platform.traffic.exchange import Exchange

PATIENCE_SECONDS = 5.0
_ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\ndata: [DONE]\n\n"


async def warm_up(http: httpx.AsyncClient) -> None:
    """Send one request to a server in this very process: the client loads what it needs when it first connects.

    The first request of a run was seen to be sent 0.3 s late without this. A failure (a proxy may be in the way)
    changes nothing but that.
    """
    server = await asyncio.start_server(_answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_SECONDS):
                await Exchange(asyncio.get_running_loop().time).run(http, f"http://127.0.0.1:{port}/", b"{}")


@contextlib.contextmanager
def without_old_garbage() -> Iterator[None]:
    """Keep the garbage collector from going through all that was there before, which takes many milliseconds."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


async def _answer(incoming: asyncio.StreamReader, outgoing: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        await incoming.readuntil(b"\r\n\r\n{}")
        outgoing.write(_ANSWER)
        await outgoing.drain()
    outgoing.close()
