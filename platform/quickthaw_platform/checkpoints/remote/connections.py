"""Connections for ranged GETs, set up as boto3 sets up its own: the same proxies, the same certificates."""

from __future__ import annotations

import base64
import http.client
import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urlsplit

from quickthaw.proxies import Proxy, proxy_for
from quickthaw_platform.errors import RemoteUnavailable


def trusted(ca_bundle: str | None) -> ssl.SSLContext:
    """Return whom to trust: this machine's authorities, and boto3's or those in `ca_bundle`, which AWS_CA_BUNDLE names.

    RemoteUnavailable where the file cannot be read. An empty REQUESTS_CA_BUNDLE is none.
    """
    from botocore.httpsession import get_cert_path

    named = ca_bundle or os.environ.get("REQUESTS_CA_BUNDLE", "").strip() or None
    context = ssl.create_default_context()
    try:
        context.load_verify_locations(cafile=named or get_cert_path(True))
    except OSError as error:
        raise RemoteUnavailable(f"the CA bundle {named} cannot be used: {error}; see AWS_CA_BUNDLE") from error
    return context


@dataclass(frozen=True, slots=True)
class Road:
    """How a URL is reached: directly, or through a proxy."""

    proxy: Proxy | None

    @classmethod
    def to(cls, url: SplitResult) -> Road:
        """Return the way that the environment names."""
        return cls(proxy_for(f"{url.scheme}://{url.netloc}"))

    def connection(
        self, url: SplitResult, trust: Callable[[], ssl.SSLContext], seconds: float
    ) -> http.client.HTTPConnection:
        """Make a connection, which is opened at its first request. RemoteUnavailable for an unknown kind of proxy."""
        if self.proxy is None:
            return _connection(url.scheme, url.netloc, trust, seconds)
        proxy = urlsplit(self.proxy.url)
        if proxy.scheme != "http":
            raise RemoteUnavailable(f"S3 is reached directly or through an http:// proxy, not {self.proxy}")
        host = proxy.netloc.rpartition("@")[2]
        if url.scheme == "http":
            return _connection("http", host, trust, seconds)
        made = http.client.HTTPSConnection(host, timeout=seconds, context=trust())
        made.set_tunnel(url.hostname or "", url.port or 443, self._credentials())
        return made

    def target(self, url: SplitResult) -> str:
        """Return what stands in the request's first line."""
        path = f"{url.path}?{url.query}"
        return path if self.proxy is None or url.scheme == "https" else f"{url.scheme}://{url.netloc}{path}"

    def headers(self, url: SplitResult) -> dict[str, str]:
        """Return what a proxy wants to see in the request itself."""
        return self._credentials() if self.proxy is not None and url.scheme == "http" else {}

    def named(self, error: Exception) -> str:
        """Describe an error, with the proxy where there is one."""
        through = f", {self.proxy}" if self.proxy is not None else ""
        return f"{type(error).__name__}: {error}{through}"

    def _credentials(self) -> dict[str, str]:
        parts = urlsplit(self.proxy.url if self.proxy else "")
        if parts.username is None:
            return {}
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        return {"Proxy-Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


def _connection(
    scheme: str, netloc: str, trust: Callable[[], ssl.SSLContext], seconds: float
) -> http.client.HTTPConnection:
    if scheme == "https":
        return http.client.HTTPSConnection(netloc, timeout=seconds, context=trust())
    return http.client.HTTPConnection(netloc, timeout=seconds)
