"""An S3 server of one object, which answers ranged GETs as badly as it is told to."""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import cast

from tests.s3_stand_ins import running

ETAG = '"1"'

Fault = Callable[["Answer", int, int], None]
"""Answers a GET of the bytes from the first position up to, not including, the second."""


class FaultyS3(ThreadingHTTPServer):
    """`faults` are for the next GETs, one each; later ones are answered as they should be."""

    daemon_threads = True
    faults: deque[Fault]

    def __init__(self, content: bytes) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.content = content
        self.etag = ETAG
        self.faults = deque()
        self.asked: list[tuple[int, int]] = []  # begin and end of each GET
        self.connections = 0
        self.hung_up = threading.Semaphore(0)  # counts closed connections
        self.released = threading.Event()  # ends stalls

    @property
    def url(self) -> str:
        """Return where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def process_request(self, request: socket.socket | tuple[bytes, socket.socket], client_address: object) -> None:
        self.connections += 1
        super().process_request(request, client_address)

    def shutdown_request(self, request: socket.socket | tuple[bytes, socket.socket]) -> None:
        super().shutdown_request(request)
        self.hung_up.release()

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that hang up."""


class Answer(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"

    @property
    def s3(self) -> FaultyS3:
        """Return the server."""
        return cast(FaultyS3, self.server)

    def do_GET(self) -> None:
        """Note what is asked for, and answer."""
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers["Range"])
        assert asked is not None
        begin, end = int(asked[1]), int(asked[2]) + 1
        self.s3.asked.append((begin, end))
        fault = self.s3.faults.popleft() if self.s3.faults else whole
        fault(self, begin, end)

    def head(self, status: int, headers: Mapping[str, str]) -> None:
        """Send the beginning of an answer."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def partial(self, begin: int, end: int, **changed: str | None) -> None:
        """Send the beginning of a 206; `changed` headers replace the right ones, None leaves one out."""
        headers = {
            "Content_Length": str(end - begin),
            "Content_Range": f"bytes {begin}-{end - 1}/{len(self.s3.content)}",
            "ETag": self.s3.etag,
        } | changed
        self.head(206, {name.replace("_", "-"): value for name, value in headers.items() if value is not None})

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def whole(answer: Answer, begin: int, end: int) -> None:
    """Answer as S3 does."""
    if answer.headers["If-Match"] != answer.s3.etag:
        status(412)(answer, begin, end)
    else:
        answer.partial(begin, end)
        answer.wfile.write(answer.s3.content[begin:end])


def status(number: int) -> Fault:
    """Answer with an error."""

    def fault(answer: Answer, _begin: int, _end: int) -> None:
        answer.head(number, {"Content-Length": "0"})

    return fault


def cut_off(size: int, *, reset: bool = False) -> Fault:
    """Hang up after so many bytes of the body."""

    def fault(answer: Answer, begin: int, end: int) -> None:
        answer.partial(begin, end)
        answer.wfile.write(answer.s3.content[begin : begin + size])
        answer.close_connection = True
        if reset:
            answer.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            answer.connection.close()

    return fault


def stall(size: int) -> Fault:
    """Fall silent after so many bytes of the body."""

    def fault(answer: Answer, begin: int, end: int) -> None:
        answer.partial(begin, end)
        answer.wfile.write(answer.s3.content[begin : begin + size])
        answer.s3.released.wait()
        answer.close_connection = True

    return fault


def with_headers(**changed: str | None) -> Fault:
    """Send the right bytes under other headers."""

    def fault(answer: Answer, begin: int, end: int) -> None:
        answer.partial(begin, end, **changed)
        answer.wfile.write(answer.s3.content[begin:end])

    return fault


def everything(answer: Answer, _begin: int, _end: int) -> None:
    """Ignore the range."""
    answer.head(200, {"Content-Length": str(len(answer.s3.content)), "ETag": answer.s3.etag})
    answer.wfile.write(answer.s3.content)


def then_hang_up(answer: Answer, begin: int, end: int) -> None:
    """Answer as S3 does, and close a connection that was to stay open."""
    whole(answer, begin, end)
    answer.close_connection = True


@contextlib.contextmanager
def faulty_s3(content: bytes) -> Iterator[FaultyS3]:
    """Run the server."""
    with FaultyS3(content) as server, running(server):
        yield server
