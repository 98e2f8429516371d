"""Which names of this gateway a request may give in its `Host` header.

Whoever owns a name can have it point to this machine after a browser has opened a page there (DNS rebinding): the page
then reads what the gateway answers. The browser says the page's name, so names that nobody gave this gateway are
refused. An address is no such name.
"""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import ip_address
from urllib.parse import urlsplit

from flask import Flask, request
from werkzeug.sansio.utils import host_is_trusted

from quickthaw_platform.errors import PermissionDenied
from quickthaw_platform.settings import Settings

LOOPBACK_NAMES = ("localhost", ".localhost")
"""Names that browsers look up nowhere: they always mean the machine itself."""


def register(app: Flask, settings: Settings) -> None:
    """Refuse every request that calls the gateway by another name; one that names nothing comes from no browser."""
    names = (*LOOPBACK_NAMES, settings.host.lower(), *settings.allowed_hosts)

    @app.before_request
    def check() -> None:
        host = request.headers.get("Host")
        if host is not None and not may_mean_us(host, names):
            raise PermissionDenied(
                f"this gateway does not go by the name {host[:100]!r}; whoever runs it can list the name in the "
                "setting allowed_hosts (QUICKTHAW_ALLOWED_HOSTS)",
                code="unknown_host",
            )


def may_mean_us(host: str, names: Collection[str]) -> bool:
    """Whether a `Host` header (a name or an address, with a port or without) is an address, or one of the names.

    A name that begins with a dot means all below it.
    """
    lower = host.lower()
    return _is_address(lower) or host_is_trusted(lower, names)


def _is_address(host: str) -> bool:
    try:
        return "@" not in host and bool(ip_address(urlsplit(f"//{host}").hostname or ""))
    except ValueError:
        return False
