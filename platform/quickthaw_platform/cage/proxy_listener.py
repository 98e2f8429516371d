"""Where code in a cage finds the proxy of its node: a socket that listens inside, and whose connections go outside."""

from __future__ import annotations

import socket

HOST, PORT = "127.0.0.1", 3128
"""Of each instance's own network namespace, so that one port is free in all of them."""

WAITING_CONNECTIONS = 128
_NO_PROXY = "localhost,127.0.0.1,::1"


def hand_out(end: int) -> None:
    """Listen in this process' network, and send the socket by a descriptor, whose other end the agent has.

    A socket stays in the namespace in which it was made, so who accepts at it needs to be in none. Raises OSError.
    """
    address = (HOST, PORT)
    with socket.socket(fileno=end) as channel, socket.create_server(address, backlog=WAITING_CONNECTIONS) as listener:
        socket.send_fds(channel, [b"l"], [listener.fileno()])


def variables() -> dict[str, str]:
    """Return the variables by which HTTP clients find the proxy; the instance's own loopback they reach directly."""
    url = f"http://{HOST}:{PORT}"
    named = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), url) | {"NO_PROXY": _NO_PROXY}
    return named | {name.lower(): value for name, value in named.items()}
