"""An S3 server that means harm: its sizes are lies, and its answers do not end."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import cast
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from tests.s3_stand_ins import running

Data = Callable[["Answer", bytes, int, int], None]
Listing = Callable[["Answer", str], None]

ENDLESS_BYTES = 512 << 20
"""What it sends where nobody stops it."""

DRIP_SECONDS = 0.005
ETAG = '"1"'


class HostileS3(ThreadingHTTPServer):
    """Serves `objects` of one bucket. `data` answers ranged GETs, `listing` gives the pages of a listing."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.objects: dict[str, bytes] = {}
        self.sizes: dict[str, int | None] = {}  # what HEAD says instead; None: nothing
        self.data: Data = whole
        self.listing: Listing = one_page
        self.asked: list[tuple[str, str]] = []  # method and key
        self.connections = 0
        self.sent_bytes = 0  # of bodies that do not end
        self.released = threading.Event()

    @property
    def url(self) -> str:
        """Return where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def process_request(self, request: object, client_address: object) -> None:
        self.connections += 1
        super().process_request(request, client_address)  # type: ignore[arg-type]

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that hang up."""


class Answer(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    @property
    def s3(self) -> HostileS3:
        """Return the server."""
        return cast(HostileS3, self.server)

    @property
    def key(self) -> str:
        """Return the object of the request, below the bucket."""
        return unquote(urlsplit(self.path).path).strip("/").partition("/")[2]

    def do_HEAD(self) -> None:
        """Say how large an object is, or a lie."""
        self.s3.asked.append(("HEAD", self.key))
        size = self.s3.sizes.get(self.key, len(self.s3.objects[self.key]))
        self.begin(200, {"ETag": ETAG} | ({} if size is None else {"Content-Length": str(size)}))

    def do_GET(self) -> None:
        """Answer with a range, or with a listing."""
        self.s3.asked.append(("GET", self.key))
        if self.path.startswith("/api/"):  # it is asked as the Hub
            self.begin(200, {"Content-Type": "application/json", "Content-Length": str(ENDLESS_BYTES)})
            self.endless()
            return
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if asked is None:
            self.s3.listing(self, parse_qs(urlsplit(self.path).query).get("continuation-token", [""])[0])
        else:
            self.s3.data(self, self.s3.objects[self.key], int(asked[1]), int(asked[2]) + 1)

    def begin(self, status: int, headers: dict[str, str]) -> None:
        """Send the beginning of an answer."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def partial(self, content: bytes, begin: int, end: int, **changed: str) -> None:
        """Send the beginning of a 206."""
        right = {"Content-Range": f"bytes {begin}-{end - 1}/{len(content)}", "ETag": ETAG}
        self.begin(206, right | {name.replace("_", "-"): value for name, value in changed.items()})

    def endless(self) -> None:
        """Send until the other side hangs up, or very much."""
        block = b"x" * (1 << 16)
        with contextlib.suppress(OSError):
            while self.s3.sent_bytes < ENDLESS_BYTES:
                self.wfile.write(block)
                self.s3.sent_bytes += len(block)
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def whole(answer: Answer, content: bytes, begin: int, end: int) -> None:
    """Answer as S3 does."""
    answer.partial(content, begin, end, Content_Length=str(end - begin))
    answer.wfile.write(content[begin:end])


def longer_than_asked(answer: Answer, content: bytes, begin: int, end: int) -> None:
    """Say and send far more than what was asked for."""
    answer.partial(content, begin, end, Content_Length=str(ENDLESS_BYTES))
    answer.endless()


def without_length(answer: Answer, content: bytes, begin: int, end: int) -> None:
    """Send chunks without end."""
    answer.partial(content, begin, end, Transfer_Encoding="chunked")
    with contextlib.suppress(OSError):
        while answer.s3.sent_bytes < ENDLESS_BYTES:
            answer.wfile.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
            answer.s3.sent_bytes += 65536
    answer.close_connection = True


def more_behind(answer: Answer, content: bytes, begin: int, end: int) -> None:
    """Answer as S3 does, and send more behind the end."""
    whole(answer, content, begin, end)
    answer.endless()


def dripping(answer: Answer, content: bytes, begin: int, end: int) -> None:
    """Send a byte now and then."""
    answer.partial(content, begin, end, Content_Length=str(end - begin))
    with contextlib.suppress(OSError):
        for at in range(begin, end):
            answer.wfile.write(content[at : at + 1])
            if answer.s3.released.wait(DRIP_SECONDS):
                break
    answer.close_connection = True


def page(answer: Answer, entries: list[tuple[str, int | None, str]], following: str | None) -> None:
    """Send a page of a listing: of each object its key, its size (None: none is told) and its etag."""
    sizes = ["" if size is None else f"<Size>{size}</Size>" for _, size, _ in entries]
    contents = "".join(
        f"<Contents><Key>{escape(key)}</Key>{shown}<ETag>{etag}</ETag></Contents>"
        for (key, _, etag), shown in zip(entries, sizes, strict=True)
    )
    more = "" if following is None else f"<NextContinuationToken>{following}</NextContinuationToken>"
    truncated = "false" if following is None else "true"
    body = f"<ListBucketResult><IsTruncated>{truncated}</IsTruncated>{more}{contents}</ListBucketResult>".encode()
    answer.begin(200, {"Content-Type": "application/xml", "Content-Length": str(len(body))})
    answer.wfile.write(body)


def one_page(answer: Answer, _token: str) -> None:
    """List the objects that there are."""
    page(answer, [(key, len(content), ETAG) for key, content in sorted(answer.s3.objects.items())], None)


def pages_without_end(answer: Answer, token: str) -> None:
    """List ever more objects, a page after another."""
    number = int(token or "0")
    page(answer, [(f"{number:08}-{at}", 1, ETAG) for at in range(100)], str(number + 1))


def empty_pages_without_end(answer: Answer, token: str) -> None:
    """List nothing, a page after another."""
    page(answer, [], str(int(token or "0") + 1))


def a_page_without_end(answer: Answer, _token: str) -> None:
    """List objects in one page that does not end."""
    answer.begin(200, {"Content-Type": "application/xml", "Content-Length": str(ENDLESS_BYTES)})
    answer.wfile.write(b"<ListBucketResult>")
    answer.endless()


@contextlib.contextmanager
def hostile_s3() -> Iterator[HostileS3]:
    """Run the server."""
    with HostileS3() as server, running(server):
        yield server
