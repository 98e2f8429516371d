"""Connections without a limit, at a cost that does not grow with their number.

httpx's own pool goes through all its connections at each request, and through all of them again for each: with two
hundred streams open that took most of a processor, and requests were sent seconds late.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import httpx

from quickthaw.proxies import Proxy, named, opened

_ONE = httpx.Limits(max_connections=1, max_keepalive_connections=1)


class UnboundedTransport(httpx.AsyncBaseTransport):
    """Gives each request a connection of its own; one whose answer has ended serves the next request."""

    def __init__(self, proxy: Proxy | None = None) -> None:
        self._proxy = proxy
        self._certificates = httpx.create_ssl_context()  # read once: it takes many milliseconds
        self._all: list[httpx.AsyncHTTPTransport] = []
        self._idle: list[httpx.AsyncHTTPTransport] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request on the connection that was idle last, or on a new one."""
        connection = self._idle.pop() if self._idle else self._open()
        try:
            response = await connection.handle_async_request(request)
        except httpx.TransportError as error:
            self._idle.append(connection)
            raise named(error, self._proxy) from error.__cause__
        except BaseException:
            self._idle.append(connection)  # without its connection, which the failure has closed
            raise
        assert isinstance(response.stream, httpx.AsyncByteStream)
        response.stream = _Returning(response.stream, lambda: self._idle.append(connection))
        return response

    async def aclose(self) -> None:
        """Close all connections."""
        for connection in self._all:
            await connection.aclose()

    def _open(self) -> httpx.AsyncHTTPTransport:
        made = opened(
            lambda url: httpx.AsyncHTTPTransport(verify=self._certificates, limits=_ONE, proxy=url), self._proxy
        )
        self._all.append(made)
        return made


class _Returning(httpx.AsyncByteStream):
    """The body of an answer; when it is closed, the connection is free."""

    def __init__(self, stream: httpx.AsyncByteStream, back: Callable[[], None]) -> None:
        self._stream, self._back = stream, back

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._stream.__aiter__()

    async def aclose(self) -> None:
        await self._stream.aclose()
        self._back()
