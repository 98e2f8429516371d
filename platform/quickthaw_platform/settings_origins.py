"""Origins of web pages, as browsers send them: read from a setting. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable
from urllib.parse import urlsplit

ANY = "*"
OPAQUE = "null"
"""What a browser sends for a page without an origin, such as a file."""

_DEFAULT_PORTS = {"http": 80, "https": 443}


def read_origins(value: object) -> object:
    """Return the origins of a text with commas between, of a JSON list, or of a list; ValueError names a wrong one."""
    if isinstance(value, str):
        value = json.loads(value) if value.lstrip().startswith("[") else value.split(",")
    if not isinstance(value, Iterable):
        return value
    texts = (item.strip() if isinstance(item, str) else item for item in value)
    return tuple(_origin(text) for text in texts if text != "")


def _origin(text: object) -> str:
    """Return an origin as browsers write it: in lower case, without a path and without a port that is the default."""
    if text in (ANY, OPAQUE):
        return str(text)
    try:
        parts = urlsplit(str(text).lower())
        port = parts.port
    except ValueError as error:
        raise ValueError(f"{text!r} is not an origin: {error}") from error
    plain = not (parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc or "*" in parts.netloc)
    if not (parts.scheme and parts.hostname and plain):
        raise ValueError(f'{text!r} is not an origin; write scheme, host and port, as "https://example.com", or "*"')
    host = parts.netloc.rpartition(":")[0] if port is not None else parts.netloc
    shown = "" if port in (None, _DEFAULT_PORTS.get(parts.scheme)) else f":{port}"
    return f"{parts.scheme}://{host}{shown}"
