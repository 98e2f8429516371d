"""gunicorn's gevent worker, which at shutdown also closes the connections that clients merely keep open."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Any

from gunicorn.workers.ggevent import GeventWorker


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


def _end_reading(client: socket.socket) -> None:
    """Have whoever reads from a connection see its end."""
    with suppress(OSError):  # it has just closed
        client.shutdown(socket.SHUT_RD)
