"""An HTTP server that answers with what it was asked, to be reached or not by functions with network `egress`."""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LOOPBACK = "127.0.0.0/8"
"""Where it is."""


class Answering(BaseHTTPRequestHandler):
    """Answers with what it was asked."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        pieces = []
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                pieces.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
        else:
            pieces.append(self.rfile.read(int(self.headers["Content-Length"])))
        self._answer(b"".join(pieces))

    def do_PUT(self) -> None:
        """Answer before all of the request has come."""
        self.send_response(413)
        self.send_header("Content-Length", "0")
        self.end_headers()
        self.rfile.read(int(self.headers["Content-Length"]))

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "12345")
        self.end_headers()

    def _answer(self, body: bytes) -> None:
        said = f"{self.command} {self.path} {self.headers['Host']} ".encode() + body
        self.send_response(200, "Fine")
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


@contextlib.contextmanager
def serving(context: ssl.SSLContext | None = None) -> Iterator[int]:
    """Run a server at 127.0.0.1; yield its port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
