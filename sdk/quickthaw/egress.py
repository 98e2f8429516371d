"""What a function with network `egress` may reach: names and networks, each with its ports. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

DEFAULT_PORTS = (80, 443)
MOST_DESTINATIONS = 256
MAX_NAME_LENGTH = 253

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"(?:\*\.)?{_LABEL}(?:\.{_LABEL})*")
_NUMBER = re.compile(r"\d+|0x[0-9a-f]*")


@dataclass(frozen=True, slots=True)
class Destination:
    """One entry of a list: a host by name, `*.` before it means all below it, or a network of addresses."""

    name: str = ""  # in small letters
    network: IPv4Network | IPv6Network | None = None
    ports: tuple[int, ...] = DEFAULT_PORTS

    def takes(self, host: str | IPv4Address | IPv6Address, port: int) -> bool:
        """Whether it means a port of a host, which is an address, or a name in small letters."""
        if port not in self.ports:
            return False
        if not isinstance(host, str):
            return self.network is not None and host in self.network
        return host.endswith(self.name[1:]) if self.name.startswith("*.") else host == self.name

    @classmethod
    def of(cls, text: str) -> Destination:
        """Read `api.example.com`, `*.example.com`, `name:8080`, `10.1.0.0/16:8080`, `[2001:db8::/32]:443`.

        Raises ValueError, which names the text.
        """
        host, port = _split_port(text)
        ports = DEFAULT_PORTS if port is None else (_read_port(text, port),)
        name = host.lower()
        if ":" in host or "/" in host or _NUMBER.fullmatch(name.rpartition(".")[2]):
            return cls(network=_read_network(text, host), ports=ports)
        if len(name) > MAX_NAME_LENGTH or not _NAME.fullmatch(name):
            raise ValueError(
                f"{text!r} is no host: write for example api.example.com, *.example.com, name:8080, 10.1.0.0/16:8080; "
                "an empty list means all public hosts"
            )
        return cls(name=name, ports=ports)


def read_destinations(texts: Sequence[str]) -> tuple[Destination, ...]:
    """Read the entries of a list. Raises ValueError, which names the first that cannot be."""
    return tuple(Destination.of(text) for text in texts)


def _split_port(text: str) -> tuple[str, str | None]:
    """Return the host and what is written as its port; None: nothing is."""
    if bracketed := re.fullmatch(r"\[([^][]*)\](?::(.*))?", text):
        return bracketed[1], bracketed[2]
    host, colon, port = text.partition(":")
    return (host, port) if colon and ":" not in port else (text, None)


def _read_port(text: str, port: str) -> int:
    number = int(port) if re.fullmatch(r"[0-9]{1,5}", port) else 0
    if not 0 < number < 1 << 16:
        raise ValueError(f"{text!r} has no port from 1 to 65535 after its host; write the host without http://")
    return number


def _read_network(text: str, host: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(host)
    except ValueError as error:
        raise ValueError(f"{text!r} is no network: {error}; write for example 10.1.0.0/16:8080") from error
