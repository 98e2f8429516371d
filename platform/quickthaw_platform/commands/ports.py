"""TCP ports on this host."""

from __future__ import annotations

import socket

from quickthaw_platform.errors import SettingsInvalid


def claim_port(host: str, port: int) -> int:
    """Return `port` after checking that it can be bound on `host`; 0 gives a free one. SettingsInvalid if it is taken.

    Between this and the server's own bind another process could take it; the server then says so itself.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise SettingsInvalid(
                f"cannot listen on {host}, port {port}: {error.strerror}. Choose another with --port; --port 0 takes a "
                "free one"
            ) from error
        return int(probe.getsockname()[1])


def connect_host(host: str) -> str:
    """Return the address at which a server bound to `host` is reached from this machine, as it stands in a URL."""
    reached = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)
    return f"[{reached}]" if ":" in reached else reached
