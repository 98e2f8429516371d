"""Looking names up without waiting longer than one has time: the resolver of the system cannot be interrupted."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import suppress
from ipaddress import ip_address

from quickthaw_platform.outbound.addresses import Address


class Lookups:
    """At most so many at a time, each in a thread of its own, which may outlast whoever asked. For one loop.

    A place is free again when its thread has ended, and not already where nobody waits any more: else somebody whose
    names are answered slowly would get any number of threads.
    """

    def __init__(self, most: int) -> None:
        self._free = asyncio.Semaphore(most)

    async def addresses(self, name: str, port: int) -> list[Address]:
        """Return the addresses of a name. Raises OSError or UnicodeError."""
        await self._free.acquire()
        found = asyncio.ensure_future(in_a_thread(name, port))
        found.add_done_callback(lambda _: self._free.release())
        return await asyncio.shield(found)


async def in_a_thread(name: str, port: int) -> list[Address]:
    """Return the addresses of a name; whoever is cancelled waits for no thread, nor does the end of the loop."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[list[Address]] = loop.create_future()

    def settle(addresses: list[Address], error: Exception | None) -> None:
        if answer.done():
            return
        if error is None:
            answer.set_result(addresses)
        else:
            answer.set_exception(error)

    def ask() -> None:
        addresses: list[Address] = []
        problem: Exception | None = None
        try:
            entries = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
            addresses = [ip_address(str(entry[4][0])) for entry in entries]
        except (OSError, ValueError) as error:  # UnicodeError is a ValueError
            problem = error
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(settle, addresses, problem)

    threading.Thread(target=ask, name="lookup", daemon=True).start()
    return await answer
