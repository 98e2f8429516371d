"""What a request to a proxy asks for, and what of it is passed on. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import SplitResult, urlsplit

import h11

from quickthaw.egress import DEFAULT_PORTS

Headers = list[tuple[bytes, bytes]]

_HTTP_PORT = 80
_HOST = re.compile(r"[a-z0-9._-]{1,253}")
_OF_ONE_CONNECTION = frozenset(
    (b"connection", b"keep-alive", b"proxy-authorization", b"proxy-connection", b"proxy-authenticate", b"te")
) | {b"upgrade"}
"""Headers that mean this connection and no other (RFC 9110, 7.6.1); h11 frames bodies by itself."""


class NotForProxy(ValueError):
    """A request does not say, as a request to a proxy does, which host and port it is for."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request is to go."""

    host: str | IPv4Address | IPv6Address  # a name in small letters, without a dot at its end, or an address
    port: int
    path: bytes | None = None  # of a request that is passed on; None: a tunnel is wanted

    def __str__(self) -> str:
        """Return host and port, as in a URL."""
        return f"{self._host}:{self.port}"

    @property
    def entry(self) -> str:
        """How it is written in a list."""
        return self._host if self.port in DEFAULT_PORTS else str(self)

    @property
    def _host(self) -> str:
        return f"[{self.host}]" if isinstance(self.host, IPv6Address) else str(self.host)

    @classmethod
    def of(cls, request: h11.Request) -> Target:
        """Read the target of a request. Raises NotForProxy."""
        asked = request.target.decode("ascii", errors="replace")
        tunnel = request.method == b"CONNECT"
        try:
            parts = urlsplit(f"//{asked}" if tunnel else asked)
            port = parts.port
            host = _read_host(parts.hostname or "")
        except ValueError as error:
            raise NotForProxy(f"{asked[:200]!r} names no host: {error}") from error
        if tunnel and (port is None or parts.netloc != asked):
            raise NotForProxy(f"CONNECT takes host:port, not {asked[:200]!r}")
        if not tunnel and parts.scheme != "http":
            raise NotForProxy(f"{asked[:200]!r} is no URL that begins with http://, which a proxy takes")
        return cls(host, _HTTP_PORT if port is None else port, None if tunnel else _path(parts))


def _read_host(text: str) -> str | IPv4Address | IPv6Address:
    name = text.lower().removesuffix(".")
    try:
        return ip_address(name)
    except ValueError:
        pass
    if not _HOST.fullmatch(name):
        raise ValueError("a host has letters, digits, dots and dashes; others are written as xn--")
    return name


def _path(parts: SplitResult) -> bytes:
    query = f"?{parts.query}" if parts.query else ""
    return f"{parts.path or '/'}{query}".encode()


def passed_on(request: h11.Request, target: Target) -> h11.Request:
    """Return a request as its target takes it, which is to answer this one only."""
    host = target.entry if target.port == _HTTP_PORT else str(target)
    headers = [(b"host", host.encode()), *_kept(request.headers, b"host"), (b"connection", b"close")]
    return h11.Request(method=request.method, target=target.path or b"/", headers=headers)


def passed_back(answer: h11.Response) -> h11.Response:
    """Return an answer as the function takes it, on a connection that ends with it."""
    headers = [*_kept(answer.headers), (b"connection", b"close")]
    return h11.Response(status_code=answer.status_code, reason=answer.reason, headers=headers)


def _kept(headers: Iterable[tuple[bytes, bytes]], *others: bytes) -> Headers:
    pairs = list(headers)
    named = {name.strip().lower() for key, value in pairs if key == b"connection" for name in value.split(b",")}
    gone = _OF_ONE_CONNECTION | named | set(others)
    return [(name, value) for name, value in pairs if name not in gone]
