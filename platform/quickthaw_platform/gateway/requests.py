"""How a request's body is read: bounded, strictly JSON, and with the place named where it is not."""

from __future__ import annotations

import json
import math
import socket
from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import chain
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
from quickthaw_platform.gateway.turns import give_way, in_turns

MAX_INTEGER = 2**63
MOST_PARTS = 100_000
"""Objects and lists of a body."""

MOST_PARTS_OF_FIELD = 15_000
"""Objects and lists of a field that the gateway itself looks into: microseconds for each, in which nobody is served."""

MOST_FIELDS = 1_000
"""Of the object that a body is."""

DRAIN_CHUNK_BYTES = 1 << 16
DRAIN_LIMIT_BYTES = 1 << 30
INVOKE, TRIGGER, INPUT = "invoke", "invoke.trigger", frozenset({"input"})
"""Where a handler's input comes, which may have as many parts as the body: the gateway only passes it on."""

_DIGITS_ALIKE = bytes.maketrans(b"123456789E", b"000000000e")

_TOO_MANY_DIGITS = "it has an integer that does not fit into 64 bits"
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
        give_way()
        value = parse_json(unpacked(body, encodings, self.max_content_length))
        if not isinstance(value, dict):
            raise InvalidRequest("the body must be a JSON object")
        if len(value) > MOST_FIELDS:
            raise InvalidRequest(f"the body has {len(value):,} fields; at most {MOST_FIELDS:,} are taken")
        if self.endpoint != TRIGGER:
            _check_fields(value, INPUT if self.blueprint == INVOKE else frozenset())
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
    _check_parts(raw)
    try:
        text = raw.decode("utf-8-sig")
        value = json.loads(text, parse_constant=_refuse)
        give_way()
        if _has_large_numbers(raw):
            _check_numbers(value)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()
            give_way()
        if text.count("[") + text.count("{") > MOST_NESTED and nests_too_deep(value):
            raise RecursionError
        give_way()
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
    except ValueError as error:  # Python reads no integer of thousands of digits
        raise InvalidRequest(f"the body is not JSON: {_TOO_MANY_DIGITS}", code="invalid_json") from error
    return value


def _check_parts(raw: bytes) -> None:
    """Raise InvalidRequest where a text of JSON has more than MOST_PARTS objects and lists."""
    if raw.count(b"[") + raw.count(b"{") <= MOST_PARTS:
        return
    without_escapes = raw.replace(rb"\\", b"").replace(rb"\"", b"")
    count = sum(text.count(b"[") + text.count(b"{") for text in without_escapes.split(b'"')[::2])  # in no string
    if count > MOST_PARTS:
        raise InvalidRequest(f"the body has {count:,} objects and lists; at most {MOST_PARTS:,} are taken")
    give_way()


def _check_fields(body: Mapping[str, Any], passed_on: Container[str]) -> None:
    """Raise InvalidRequest, naming it, for a field that has more than MOST_PARTS_OF_FIELD objects and lists."""
    for name, value in body.items():
        if isinstance(value, dict | list) and name not in passed_on:
            count = sum(map(len, _levels(value)))
            if count > MOST_PARTS_OF_FIELD:
                raise InvalidRequest(
                    f"{name[:100]}: has {count:,} objects and lists; at most {MOST_PARTS_OF_FIELD:,} are taken",
                    param=name[:100],
                )
    give_way()


def _levels(value: Any) -> Iterator[list[Any]]:
    """Yield the objects and lists of a value, level by level; nothing of a value that is none."""
    level = [value]
    while level := [part for part in level if isinstance(part, dict | list)]:
        yield level
        give_way()
        level = list(chain.from_iterable(part.values() if isinstance(part, dict) else part for part in level))


def _has_large_numbers(raw: bytes) -> bool:
    """Whether there are so many digits in a row, or so large an exponent, that a number may be too large."""
    alike = raw.translate(_DIGITS_ALIKE, b"+")
    return b"0" * 19 in alike or b"e000" in alike


def _check_numbers(value: Any) -> None:
    """Raise InvalidRequest for an integer beyond 64 bits, and for a number that no float holds."""
    for level in _levels(value):
        for part in in_turns(level):
            for found in part.values() if isinstance(part, dict) else part:
                if isinstance(found, int) and not -MAX_INTEGER <= found < MAX_INTEGER:
                    digits = str(found)[:30]
                    raise InvalidRequest(f"the number {digits}… does not fit into 64 bits", code="invalid_json")
                if isinstance(found, float) and math.isinf(found):
                    raise InvalidRequest("the body has a number that is too large", code="invalid_json")


def drain(stream: IO[bytes]) -> None:
    """Read and drop what a refused client still sends (up to a limit), so that it gets to read the refusal.

    A server that closes with unread data makes the kernel reset the connection, and the answer is lost with it.
    """
    dropped = 0
    while dropped < DRAIN_LIMIT_BYTES and (chunk := stream.read(DRAIN_CHUNK_BYTES)):
        dropped += len(chunk)


def _refuse(constant: str) -> NoReturn:
    raise InvalidRequest(f"the body is not JSON: {constant} is not a JSON number", code="invalid_json")
