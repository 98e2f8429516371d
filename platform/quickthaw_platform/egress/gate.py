"""The way out of one instance: whoever connects to its socket is served by its function's rules."""

from __future__ import annotations

import asyncio
import socket

import structlog

from quickthaw_platform.egress.proxying import Way, serve
from quickthaw_platform.egress.rules import Refused, Result, Rules
from quickthaw_platform.egress.targets import Target
from quickthaw_platform.metering import metrics
from quickthaw_platform.outbound.lookups import Lookups

MOST_CONNECTIONS = 256
"""Of one instance at a time; others wait until one ends."""

MOST_LOOKUPS = 8
"""Names that the instances of one function's version have looked up at a time."""

MOST_LOGGED = 100
"""Hosts whose refusal is logged, of one function's version."""

_RETRY_SECONDS = 1.0
_log = structlog.get_logger()


class Requests:
    """Counts the requests of one function's version, logs the first refusal of each host, and looks names up."""

    def __init__(self, function: str, version: str) -> None:
        self._names = {"function": function, "version": version}
        self._logged: set[str] = set()
        self.lookups = Lookups(MOST_LOOKUPS)

    def passed(self) -> None:
        """Count a request that has reached its target."""
        metrics.egress_requests_total.labels(Result.PASSED.value).inc()

    def refused(self, target: Target | None, refused: Refused) -> None:
        """Count a request that was refused."""
        metrics.egress_requests_total.labels(refused.result.value).inc()
        host = "" if target is None else str(target)
        if host not in self._logged and len(self._logged) < MOST_LOGGED:
            self._logged.add(host)
            _log.warning("a function did not get to a host", **self._names, host=host, why=str(refused))


class Gate:
    """For the loop in which it is opened."""

    def __init__(self, listener: socket.socket, rules: Rules, requests: Requests) -> None:
        listener.setblocking(False)
        self._listener = listener
        self._way = Way(rules, requests.lookups, requests)
        self._free = asyncio.Semaphore(MOST_CONNECTIONS)
        self._serving = asyncio.create_task(self._accept())

    async def close(self) -> None:
        """End the connections, and take no more."""
        self._serving.cancel()
        await asyncio.wait([self._serving])
        self._listener.close()

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as connections:
            while True:
                await self._free.acquire()
                try:
                    connection, _address = await loop.sock_accept(self._listener)
                except OSError as error:  # no descriptor is left, most likely
                    _log.error("a connection of a function was not accepted", error=str(error))
                    self._free.release()
                    await asyncio.sleep(_RETRY_SECONDS)
                else:
                    connections.create_task(self._serve(connection)).add_done_callback(lambda _: self._free.release())

    async def _serve(self, connection: socket.socket) -> None:
        try:
            await serve(await asyncio.open_connection(sock=connection), self._way)
        except Exception:  # noqa: BLE001 - a fault in one connection must not end the others
            _log.exception("a connection of a function met an unexpected error")
