"""TCP ports on this host."""

from __future__ import annotations

import errno
import random
import socket

from quickthaw_platform.errors import SettingsInvalid

LISTENABLE = range(20_000, 32_768)
"""Where free ports are taken from: below those that the kernel gives to outgoing connections, so that a server that is
started again on its port does not find a connection there."""
TRIES = 100


def claim_port(host: str, port: int) -> int:
    """Return `port` after checking that it can be bound on `host`; 0 gives a free one. SettingsInvalid if it is taken.

    A free one is drawn at random, so that two who ask at once get two. Between this and the server's own bind another
    process could take it; the server then says so itself.
    """
    refused = OSError()
    for candidate in [port] if port else random.sample(LISTENABLE, TRIES):
        try:
            _bind(host, candidate)
        except OSError as error:
            refused = error
            if error.errno != errno.EADDRINUSE:
                break
        else:
            return candidate
    other = "Choose another with --port; --port 0 takes a free one"
    if refused.errno == errno.EADDRNOTAVAIL or isinstance(refused, socket.gaierror):
        other = "Give an address of this machine with --host; 0.0.0.0 stands for all"
    raise SettingsInvalid(f"cannot listen on {host}, port {port}: {refused.strerror}. {other}") from refused


def claim_ports(host: str, count: int) -> list[int]:
    """Return so many free ports on `host`, no two of which are the same."""
    found: dict[int, None] = {}
    while len(found) < count:
        found[claim_port(host, 0)] = None
    return list(found)


def _bind(host: str, port: int) -> None:
    """Bind for a moment; OSError where nobody can."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))


def connect_host(host: str) -> str:
    """Return the address at which a server bound to `host` is reached from this machine, as it stands in a URL."""
    reached = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)
    return f"[{reached}]" if ":" in reached else reached
