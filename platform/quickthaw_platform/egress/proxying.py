"""One connection of a function to the proxy: a tunnel (CONNECT), or one request of HTTP that is passed on."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Protocol

import h11

from quickthaw_platform.egress import targets
from quickthaw_platform.egress.connecting import Streams, connect
from quickthaw_platform.egress.peer import Peer
from quickthaw_platform.egress.rules import Refused, Result, Rules
from quickthaw_platform.egress.targets import NotForProxy, Target
from quickthaw_platform.outbound.lookups import Lookups

IDLE_SECONDS = 600.0
"""A connection on which nothing has come for so long, from neither side, is closed."""

HEAD_SECONDS = 30.0
"""For a client to say what it wants, however slowly it says that."""

HALF_CLOSED_SECONDS = 60.0
"""Instead of IDLE_SECONDS, where one side has said that it sends no more: most likely it has gone."""

_BROKEN = (OSError, TimeoutError, h11.ProtocolError)


class Notes(Protocol):
    """Who hears of requests."""

    def passed(self) -> None:
        """One has reached its target."""

    def refused(self, target: Target | None, refused: Refused) -> None:
        """One was refused; None: it has no target."""


@dataclass(frozen=True, slots=True)
class Way:
    """What connections of one instance have in common."""

    rules: Rules
    lookups: Lookups
    notes: Notes


class Patience:
    """For how long nothing may come from either side of a connection."""

    def __init__(self, timeout: asyncio.Timeout) -> None:
        self._timeout = timeout
        self._seconds = IDLE_SECONDS
        self.heard()

    def heard(self) -> None:
        """Begin anew: something has come."""
        self._timeout.reschedule(asyncio.get_running_loop().time() + self._seconds)

    def half_closed(self) -> None:
        """Have less from now on: one side sends no more."""
        self._seconds = HALF_CLOSED_SECONDS
        self.heard()


async def serve(streams: Streams, way: Way) -> None:
    """Serve a connection until either side ends it; then both are closed."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(None) as timeout:
            patience = Patience(timeout)
            client = Peer(h11.SERVER, *streams, patience.heard)
            try:
                await _serve(client, way, patience)
            except* _BROKEN:
                pass
            finally:
                await client.close()


async def _serve(client: Peer, way: Way, patience: Patience) -> None:
    target: Target | None = None
    try:
        async with asyncio.timeout(HEAD_SECONDS):
            request = await _request(client)
        if request is None:
            return
        target = Target.of(request)
        streams = await connect(target, way.rules, way.lookups)
    except (NotForProxy, h11.RemoteProtocolError, Refused) as error:
        refused = error if isinstance(error, Refused) else Refused(Result.MALFORMED, str(error))
        way.notes.refused(target, refused)
        await _refuse(client, refused)
        return
    way.notes.passed()
    server = Peer(h11.CLIENT, *streams, patience.heard)
    try:
        await (_tunnel(client, server, patience) if target.path is None else _pass_on(client, server, request, target))
    finally:
        await server.close()


async def _request(client: Peer) -> h11.Request | None:
    """Return the request that a connection begins with; None: it ended before."""
    request = await client.receive()
    if not isinstance(request, h11.Request):
        return None
    if request.method == b"CONNECT":
        await client.receive()  # its end: what follows is not HTTP of this connection
    return request


async def _refuse(client: Peer, refused: Refused) -> None:
    """Answer with the reason, also where clients show nothing but the status line of a proxy's answer."""
    text = "".join(letter if " " <= letter <= "~" else "?" for letter in str(refused)).encode()
    headers = [("Content-Type", "text/plain"), ("Content-Length", str(len(text) + 1)), ("Connection", "close")]
    answer = h11.Response(status_code=refused.status, reason=text, headers=headers)
    await client.send(answer, h11.Data(data=text + b"\n"), h11.EndOfMessage())
    await client.finish()


async def _tunnel(client: Peer, server: Peer, patience: Patience) -> None:
    await client.send(h11.Response(status_code=200, reason=b"Connected", headers=[]))
    begun, _closed = client.http.trailing_data
    if begun:
        await server.write(begun)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_pump(client, server, patience))
        tasks.create_task(_pump(server, client, patience))


async def _pump(source: Peer, target: Peer, patience: Patience) -> None:
    while data := await source.read():
        await target.write(data)
    patience.half_closed()
    target.end()


async def _pass_on(client: Peer, server: Peer, request: h11.Request, target: Target) -> None:
    async with asyncio.TaskGroup() as tasks:
        asking = tasks.create_task(_ask(client, server, targets.passed_on(request, target)))
        await _answer(client, server)
        asking.cancel()  # an answer may come before all of its request
    await client.finish()


async def _ask(client: Peer, server: Peer, request: h11.Request) -> None:
    with contextlib.suppress(ConnectionError):  # a server that takes no more may have answered
        await server.send(request)
        while isinstance(event := await client.receive(), h11.Data):
            await server.send(event)
        if isinstance(event, h11.EndOfMessage):
            await server.send(event)


async def _answer(client: Peer, server: Peer) -> None:
    while isinstance(event := await server.receive(), h11.InformationalResponse):
        await client.send(event)
    if not isinstance(event, h11.Response):
        return
    await client.send(targets.passed_back(event))
    while isinstance(event := await server.receive(), h11.Data):
        await client.send(event)
    if isinstance(event, h11.EndOfMessage):
        await client.send(event)
