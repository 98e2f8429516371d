"""Which proxy a request goes through (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY), the same for all our clients.

What differs from the libraries' own reading: this machine itself (loopback) is never reached through a proxy, so that
an API key for it goes to nobody else; NO_PROXY may hold networks (10.0.0.0/8); and what fails names the proxy and the
variable that named it. As with curl, a name in lower case comes before the one in capitals, and switches it off where
it is empty.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Generic, TypeVar
from urllib.parse import urlsplit, urlunsplit

import httpx

LOOPBACK = ("localhost", "127.0.0.1", "127.0.0.0/8", "::1")
"""This machine, as NO_PROXY names it to the libraries."""

THROUGH = "quickthaw.proxy"
"""Extension of a response: through which proxy it came."""

_DEFAULT_PORTS = {"http": 80, "https": 443}

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy's URL, and the variable that names it."""

    url: str
    variable: str

    def __str__(self) -> str:
        """Name both, without the password."""
        parts = urlsplit(self.url)
        shown = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
        return f"through the proxy {shown} ({self.variable}; NO_PROXY takes hosts out)"


def proxy_for(url: str, environ: Mapping[str, str] | None = None) -> Proxy | None:
    """Return the proxy for a URL; None where it is reached directly."""
    environ = os.environ if environ is None else environ
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    port = parts.port or _DEFAULT_PORTS.get(parts.scheme, 0)
    if is_loopback(host) or _is_spared(host, port, _variable("no_proxy", environ)[1]):
        return None
    for name in (f"{parts.scheme}_proxy", "all_proxy"):
        variable, value = _variable(name, environ)
        if value:
            return Proxy(value if "://" in value else f"http://{value}", variable)
    return None


def is_loopback(host: str) -> bool:
    """Whether a host, as it stands in a URL, is this machine by its very name."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    address = _address(host)
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address is not None and (address.is_loopback or address.is_unspecified)


def spare_loopback(environ: MutableMapping[str, str]) -> None:
    """Add this machine to NO_PROXY, for the libraries that read it themselves."""
    _spare(LOOPBACK, environ)


def share_reading(url: str, environ: MutableMapping[str, str]) -> Proxy | None:
    """Return the proxy for a URL, and have libraries reach it directly where we would: add its host to NO_PROXY."""
    proxy = proxy_for(url, environ)
    host = urlsplit(url).hostname
    if proxy is None and host:
        _spare((host,), environ)
    return proxy


def _spare(hosts: Iterable[str], environ: MutableMapping[str, str]) -> None:
    listed = _listed(_variable("no_proxy", environ)[1])
    wanted = ",".join([*listed, *(name for name in hosts if name not in listed)])
    environ["NO_PROXY"] = environ["no_proxy"] = wanted


def _variable(name: str, environ: Mapping[str, str]) -> tuple[str, str]:
    """Return which variable is meant, and what it holds."""
    if name in environ:
        return name, environ[name].strip()
    if name == "http_proxy" and "REQUEST_METHOD" in environ:
        return name, ""  # a CGI script: there HTTP_PROXY is what the caller sent as the header `Proxy`
    return name.upper(), environ.get(name.upper(), "").strip()


def _listed(no_proxy: str) -> list[str]:
    return no_proxy.replace(",", " ").split()


def _is_spared(host: str, port: int, no_proxy: str) -> bool:
    return any(_matches(entry.lower(), host, port) for entry in _listed(no_proxy))


def _matches(entry: str, host: str, port: int) -> bool:
    """Whether an entry of NO_PROXY means a host: `*`, a network, an address, a name and all below; some with a port."""
    if entry == "*":
        return True
    address = _address(host)
    if "/" in entry:
        return address is not None and _in_network(address, entry)
    name, wanted_port = _split_port(entry)
    if wanted_port is not None and wanted_port != port:
        return False
    if address is not None:
        return _address(name) == address
    name = name.removeprefix("*").strip(".")
    return bool(name) and (host == name or host.endswith(f".{name}"))


def _split_port(entry: str) -> tuple[str, int | None]:
    if entry.startswith("["):
        name, _, port = entry[1:].partition("]")
        return name, int(port[1:]) if port[1:].isdigit() else None
    name, colon, port = entry.partition(":")
    return (name, int(port)) if colon and port.isdigit() else (entry, None)


def _in_network(address: IPv4Address | IPv6Address, entry: str) -> bool:
    try:
        return address in ip_network(entry, strict=False)
    except ValueError:  # no network: it means nobody
        return False


def _address(host: str) -> IPv4Address | IPv6Address | None:
    """Return the address that a host is; None for a name. Short forms (`127.1`) are read as connecting reads them."""
    try:
        return ip_address(host.partition("%")[0])
    except ValueError:
        pass
    try:
        return IPv4Address(socket.inet_aton(host)) if host and host[0].isdigit() and " " not in host else None
    except OSError:
        return None


class _Ways(Generic[T]):
    """The transports of a client, one for each proxy and one for none, made when they are first needed."""

    def __init__(self, make: Callable[[str | None], T]) -> None:
        self._make = make
        self._made: dict[str | None, T] = {}
        self._lock = threading.Lock()

    def __getitem__(self, proxy: Proxy | None) -> T:
        url = None if proxy is None else proxy.url
        with self._lock:
            if url not in self._made:
                self._made[url] = opened(self._make, proxy)
            return self._made[url]

    def all(self) -> list[T]:
        """Return those that were made."""
        return list(self._made.values())


_AUTHORITIES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
"""Variables that name the authorities which httpx trusts."""


def opened(make: Callable[[str | None], T], proxy: Proxy | None) -> T:
    """Make a transport of httpx for a proxy, or for none. httpx.TransportError says why that cannot be."""
    try:
        return make(proxy.url if proxy is not None else None)
    except ImportError as error:
        raise httpx.ProxyError(
            f"a SOCKS proxy needs the package socksio: pip install 'httpx[socks]' ({proxy})"
        ) from error
    except (ValueError, httpx.InvalidURL) as error:
        raise httpx.ProxyError(f"this is no proxy's URL: {error} ({proxy})") from error
    except OSError as error:  # httpx reads the authorities at once, for http:// too
        variable = next((name for name in _AUTHORITIES if os.environ.get(name)), _AUTHORITIES[0])
        raise httpx.ConnectError(
            f"the certificates that {variable} names ({os.environ.get(variable)}) cannot be read: "
            f"{error.strerror or error}"
        ) from error


def named(error: httpx.TransportError, proxy: Proxy | None) -> httpx.TransportError:
    """Return the error, with the proxy in its text where there was one."""
    if proxy is not None and proxy.variable not in str(error):
        error.args = (f"{str(error) or type(error).__name__}, {proxy}",)
    return error


class Transport(httpx.BaseTransport):
    """Sends each request as `proxy_for` says. Errors name the proxy; responses carry it as the extension THROUGH."""

    def __init__(self) -> None:
        self._ways = _Ways(lambda proxy: httpx.HTTPTransport(proxy=proxy))

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request."""
        proxy = proxy_for(str(request.url))
        try:
            response = self._ways[proxy].handle_request(request)
        except httpx.TransportError as error:
            raise named(error, proxy) from error.__cause__
        if proxy is not None:
            response.extensions[THROUGH] = str(proxy)
        return response

    def close(self) -> None:
        """Close all connections."""
        for way in self._ways.all():
            way.close()


class AsyncTransport(httpx.AsyncBaseTransport):
    """The same for an event loop."""

    def __init__(self) -> None:
        self._ways = _Ways(lambda proxy: httpx.AsyncHTTPTransport(proxy=proxy))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request."""
        proxy = proxy_for(str(request.url))
        try:
            response = await self._ways[proxy].handle_async_request(request)
        except httpx.TransportError as error:
            raise named(error, proxy) from error.__cause__
        if proxy is not None:
            response.extensions[THROUGH] = str(proxy)
        return response

    async def aclose(self) -> None:
        """Close all connections."""
        for way in self._ways.all():
            await way.aclose()
