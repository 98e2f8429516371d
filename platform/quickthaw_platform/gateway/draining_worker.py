"""gunicorn's gevent worker, which at shutdown also closes the connections that clients merely keep open.

What gunicorn refuses by itself, because it is not HTTP, it answers as the gateway answers.
"""

from __future__ import annotations

import json
import socket
from contextlib import suppress
from typing import Any

from gunicorn import util
from gunicorn.workers.ggevent import GeventWorker

from quickthaw_platform.errors import InvalidRequest, QuickthawError

_TOLD_BYTES = 500


class DrainingWorker(GeventWorker):  # type: ignore[misc]  # gunicorn is untyped
    """Lets requests under way end within `graceful_timeout`; without this, idle clients would use all of that up."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._idle: set[socket.socket] = set()

    def handle(self, listener: Any, client: socket.socket, addr: Any) -> None:
        """Serve a connection to its end."""
        self._idle.add(client)
        try:
            super().handle(listener, client, addr)
        finally:
            self._idle.discard(client)

    def handle_request(self, listener_name: Any, req: Any, sock: socket.socket, addr: Any) -> None:
        """Serve one request; in between the connection is idle."""
        self._idle.discard(sock)
        super().handle_request(listener_name, req, sock, addr)
        self._idle.add(sock)
        if not self.alive:  # it was told to exit meanwhile
            _end_reading(sock)

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Take no more requests: readers of idle connections see their end."""
        super().handle_exit(sig, frame)
        for client in tuple(self._idle):
            _end_reading(client)


def _write_error(client: socket.socket, status: int, reason: str, message: str) -> None:
    """Answer what never reached the application."""
    kind = InvalidRequest if status < 500 or status == 501 else QuickthawError
    error = kind(f"{reason}: {message}"[:_TOLD_BYTES], code="bad_request" if kind is InvalidRequest else None)
    body = json.dumps({"error": error.to_json()})
    head = f"HTTP/1.1 {status} {reason}\r\nConnection: close\r\nContent-Type: application/json\r\nx-should-retry: false"
    util.write_nonblock(client, f"{head}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())


util.write_error = _write_error  # gunicorn would answer with a page, and has no setting for it


def _end_reading(client: socket.socket) -> None:
    """Have whoever reads from a connection see its end."""
    with suppress(OSError):  # it has just closed
        client.shutdown(socket.SHUT_RD)
