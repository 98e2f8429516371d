"""Bodies of requests that are sent compressed (`Content-Encoding`): unpacked, never beyond a limit. Pure."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from werkzeug.exceptions import UnsupportedMediaType

from quickthaw_platform.errors import InvalidRequest, RequestTooLarge

SUPPORTED = "gzip, deflate"
MAX_ENCODINGS = 2
MAX_FILES = 16
"""How many gzip files may follow one another in a body: each costs a copy of all that is behind it."""

_GZIP = zlib.MAX_WBITS | 16


def encodings_of(header: str) -> list[str]:
    """Return what was done to a body, in order; UnsupportedMediaType for what cannot be undone here."""
    names = [name.strip().lower() for name in header.split(",")]
    applied = [name.removeprefix("x-") for name in names if name not in ("", "identity")]
    strange = next((name for name in applied if name not in ("gzip", "deflate")), None)
    if strange is not None:
        raise UnsupportedMediaType(f"the Content-Encoding {strange[:50]!r} is not served; send {SUPPORTED} or none")
    if len(applied) > MAX_ENCODINGS:
        raise UnsupportedMediaType(f"{len(applied)} layers of Content-Encoding; at most {MAX_ENCODINGS} are served")
    return applied


def unpacked(body: bytes, encodings: Sequence[str], limit: int | None) -> bytes:
    """Undo the encodings of a body, the last one first.

    `limit` in bytes holds for what comes out of each; RequestTooLarge beyond it, InvalidRequest for broken data.
    """
    for encoding in reversed(encodings):
        body = _inflated(body, encoding, limit)
    return body


def _inflated(body: bytes, encoding: str, limit: int | None) -> bytes:
    found, files = bytearray(), 0
    while body:
        files += 1
        if files > MAX_FILES:
            raise InvalidRequest(f"the body is more than {MAX_FILES} gzip files one after another; send it as one")
        inflater = zlib.decompressobj(_window_bits(body, encoding))
        try:
            found += inflater.decompress(body, 0 if limit is None else limit + 1 - len(found))
        except zlib.error as error:
            raise InvalidRequest(f"the body is not {encoding}, as its Content-Encoding says: {error}") from error
        if limit is not None and len(found) > limit:
            raise RequestTooLarge(
                f"the request body, unpacked, is larger than the {limit:,} bytes that this platform accepts "
                "(setting max_body)"
            )
        if not inflater.eof:
            raise InvalidRequest(f"the body is cut short: its {encoding} data has no end")
        body = inflater.unused_data if encoding == "gzip" else b""  # gzip files may follow one another
    return bytes(found)


def _window_bits(body: bytes, encoding: str) -> int:
    if encoding == "gzip":
        return _GZIP
    wrapped = body[0] & 15 == 8 and int.from_bytes(body[:2]) % 31 == 0  # RFC 1950's header; some send raw deflate
    return zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS
