"""One side of a connection through the proxy: bytes, and the HTTP that they are."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import h11

READ_BYTES = 64 << 10
MAX_HEAD_BYTES = 64 << 10
LINGER_SECONDS = 5.0


class Peer:
    """A stream to a function's client, or to the server that it asks."""

    def __init__(
        self, role: type[h11.CLIENT] | type[h11.SERVER], reader: asyncio.StreamReader, writer: asyncio.StreamWriter,
        heard: Callable[[], None],
    ) -> None:  # fmt: skip
        """`role` is ours in HTTP: h11.SERVER or h11.CLIENT. `heard` is called whenever bytes come."""
        self.http = h11.Connection(role, MAX_HEAD_BYTES)
        self._reader = reader
        self._writer = writer
        self._heard = heard

    async def read(self) -> bytes:
        """Return the bytes that come next; none: it sends no more."""
        data = await self._reader.read(READ_BYTES)
        self._heard()
        return data

    async def write(self, data: bytes) -> None:
        """Send bytes, when there is room for them."""
        self._writer.write(data)
        await self._writer.drain()

    def end(self) -> None:
        """Send no more."""
        self._writer.write_eof()

    async def finish(self) -> None:
        """Send no more, and read on for a moment: what comes and is not read has the kernel drop what was sent."""
        self.end()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS):
                while await self.read():
                    pass

    async def receive(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """Return the next event of HTTP. Raises h11.RemoteProtocolError for what is none."""
        while (event := self.http.next_event()) is h11.NEED_DATA:
            self.http.receive_data(await self.read())
        return event

    async def send(self, *events: h11.Event) -> None:
        """Send events of HTTP."""
        await self.write(b"".join(self.http.send(event) or b"" for event in events))

    async def close(self) -> None:
        """Close the connection; what was written before may take a little time to leave."""
        self._writer.close()
        try:
            async with asyncio.timeout(LINGER_SECONDS):
                await self._writer.wait_closed()
        except (OSError, TimeoutError):
            self._writer.transport.abort()
