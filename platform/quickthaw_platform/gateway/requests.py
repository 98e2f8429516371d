"""How a request's body is read: bounded, strictly JSON, and with the place named where it is not."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import IO, Any, NoReturn

import gevent
from flask import Request, current_app
from gunicorn.http.errors import ParseException
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import RequestEntityTooLarge, RequestTimeout
from werkzeug.utils import cached_property

from quickthaw.json_values import MOST_NESTED, nests_too_deep
from quickthaw_platform.errors import InvalidRequest
from quickthaw_platform.gateway.body_encoding import encodings_of, unpacked

MAX_INTEGER = 2**63
DRAIN_CHUNK_BYTES = 1 << 16
DRAIN_LIMIT_BYTES = 1 << 30
BODY_SECONDS = "BODY_SECONDS"
"""In the application's configuration: how long a body may take to come, and as long what is left of a refused one."""


class JsonRequest(Request):
    """A request whose body is JSON whatever its content type says; what is not JSON raises InvalidRequest."""

    @cached_property
    def args(self) -> MultiDict[str, str]:
        """The parameters of the query; InvalidRequest for bytes that are neither UTF-8 nor percent-encoded."""
        try:
            return super().args
        except UnicodeDecodeError as error:
            raise InvalidRequest("the query is not UTF-8; percent-encode what is not plain in it") from error

    def get_json(self, force: bool = False, silent: bool = False, cache: bool = True) -> Any:  # noqa: ARG002
        """Return the parsed body, {} where there is none. The parameters are Flask's and change nothing."""
        encodings = encodings_of(self.headers.get("Content-Encoding", ""))
        with coming(self.environ):
            body = self._body()
        value = parse_json(unpacked(body, encodings, self.max_content_length))
        if not isinstance(value, dict):
            raise InvalidRequest("the body must be a JSON object")
        return value

    def _body(self) -> bytes:
        """Return the body, at most max_content_length of it; RequestEntityTooLarge where more comes.

        InvalidRequest where less comes than was announced. Werkzeug checks a length that is announced, but of a chunked
        body it silently drops what is beyond the limit.
        """
        limit, announced = self.max_content_length, self.content_length
        if limit is None or announced is not None or not self.environ.get("wsgi.input_terminated"):
            data = self.get_data()
            if len(data) < (announced or 0):
                raise InvalidRequest(f"the body ended after {len(data):,} of the {announced:,} bytes of its length")
            return data
        body = bytearray()
        while chunk := self.environ["wsgi.input"].read(DRAIN_CHUNK_BYTES):
            body += chunk
            if len(body) > limit:
                raise RequestEntityTooLarge
        return bytes(body)


@contextmanager
def coming(environ: Mapping[str, Any]) -> Iterator[None]:
    """Read what a client sends: RequestTimeout where that takes longer than it may, and the connection's end after it;
    InvalidRequest where its chunks are none, or where it hangs up.

    Only where gevent's server serves, whose reading lets others go on.
    """
    connection: socket.socket | None = environ.get("gunicorn.socket")
    seconds = current_app.config.get(BODY_SECONDS) if connection is not None else None
    try:
        with gevent.Timeout(seconds, RequestTimeout(f"the request's body did not come within {seconds} s")):
            yield
    except (OSError, ParseException) as error:
        raise InvalidRequest(f"the body did not come whole: {error or type(error).__name__}") from error
    except RequestTimeout:
        with suppress(OSError):  # it has just closed
            connection.shutdown(socket.SHUT_RD)  # type: ignore[union-attr]  # without one there is no timeout
        raise


def parse_json(raw: bytes) -> Any:
    """Parse RFC 8259 JSON: UTF-8, no NaN, no number beyond 64 bits, no half of a surrogate pair."""
    if not raw.strip():
        return {}
    try:
        text = raw.decode("utf-8-sig")
        value = json.loads(text, parse_constant=_refuse, parse_int=_integer, parse_float=_float)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()
        if text.count("[") + text.count("{") > MOST_NESTED and nests_too_deep(value):
            raise RecursionError
    except json.JSONDecodeError as error:
        raise InvalidRequest(
            f"the body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}", code="invalid_json"
        ) from error
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"the body is not UTF-8 (byte {error.start})", code="invalid_json") from error
    except UnicodeEncodeError as error:
        raise InvalidRequest("the body has half of a surrogate pair", code="invalid_json") from error
    except RecursionError as error:
        raise InvalidRequest("the body is nested too deeply", code="invalid_json") from error
    return value


def drain(stream: IO[bytes]) -> None:
    """Read and drop what a refused client still sends (up to a limit), so that it gets to read the refusal.

    A server that closes with unread data makes the kernel reset the connection, and the answer is lost with it.
    """
    dropped = 0
    while dropped < DRAIN_LIMIT_BYTES and (chunk := stream.read(DRAIN_CHUNK_BYTES)):
        dropped += len(chunk)


def _refuse(constant: str) -> NoReturn:
    raise InvalidRequest(f"the body is not JSON: {constant} is not a JSON number", code="invalid_json")


def _integer(digits: str) -> int:
    value = int(digits) if len(digits) <= 20 else MAX_INTEGER
    if not -MAX_INTEGER <= value < MAX_INTEGER:
        raise InvalidRequest(f"the number {digits[:30]}… does not fit into 64 bits", code="invalid_json")
    return value


def _float(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise InvalidRequest(f"the number {digits[:30]} is too large", code="invalid_json")
    return value
