"""Connecting to what a function asks for: looked up once, and connected to by the address that was checked."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Sequence
from ipaddress import ip_address

from quickthaw_platform.egress.rules import Refused, Result, Rules
from quickthaw_platform.egress.targets import Target
from quickthaw_platform.outbound.addresses import Address
from quickthaw_platform.outbound.lookups import Lookups

LOOKUP_SECONDS = 20.0
"""For a name to be looked up, the wait for those before it included."""

CONNECT_SECONDS = 10.0
ADDRESS_SECONDS = 4.0
"""How long one address of several may take to answer."""

_ANY_PORT = 9
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def connect(target: Target, rules: Rules, lookups: Lookups) -> Streams:
    """Return a connection to a target that the rules let through. Raises Refused."""
    rules.check(target)
    if isinstance(target.host, str):
        addresses = await _look_up(target.host, target.port, lookups)
    else:
        addresses = [target.host]
    rules.check_addresses(target, addresses, [address for address in addresses if is_own(address)])
    return await _connect(target, addresses)


def is_own(address: Address) -> bool:
    """Whether an address is one of this node's: to those it speaks from themselves. Nothing is sent."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as asking:
        try:
            asking.connect((str(address), _ANY_PORT))
        except OSError:
            return False
        return ip_address(asking.getsockname()[0]) == address


async def _look_up(name: str, port: int, lookups: Lookups) -> list[Address]:
    try:
        async with asyncio.timeout(LOOKUP_SECONDS):
            return await lookups.addresses(name, port)
    except TimeoutError as error:
        raise Refused(Result.NOT_FOUND, f"{name} has no address that is told within {LOOKUP_SECONDS:g} s") from error
    except (OSError, ValueError) as error:
        raise Refused(Result.NOT_FOUND, f"{name} has no address: {error}") from error


async def _connect(target: Target, addresses: Sequence[Address]) -> Streams:
    why = "it does not answer"
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(CONNECT_SECONDS):
            for address in addresses:
                try:
                    async with asyncio.timeout(ADDRESS_SECONDS):
                        return await asyncio.open_connection(str(address), target.port)
                except OSError as error:  # TimeoutError is one of them
                    why = str(error) or why
    raise Refused(Result.UNREACHABLE, f"{target} cannot be reached: {why}")
