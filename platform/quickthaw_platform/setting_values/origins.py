"""Origins of web pages, as browsers send them: read from a setting. Pure."""

from __future__ import annotations

from urllib.parse import urlsplit

from quickthaw_platform.setting_values.lists import read_list

ANY = "*"
OPAQUE = "null"
"""What a browser sends for a page without an origin, such as a file."""

_DEFAULT_PORTS = {"http": 80, "https": 443}


def read_origins(value: object) -> tuple[str, ...]:
    """Return the origins of a setting. Raises ValueError, naming a wrong one."""
    wanted = "origins with commas between them, for example https://a.example,http://localhost:3000"
    return tuple(_origin(text) for text in read_list(value, wanted))


def _origin(text: str) -> str:
    """Return an origin as browsers write it: in lower case, without a path and without a port that is the default."""
    if text in (ANY, OPAQUE):
        return text
    try:
        parts = urlsplit(text.lower())
        port = parts.port
    except ValueError as error:
        raise ValueError(f"{text!r} is not an origin: {error}") from error
    plain = not (parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc or "*" in parts.netloc)
    if not (parts.scheme and parts.hostname and plain):
        raise ValueError(f'{text!r} is not an origin; write scheme, host and port, as "https://example.com", or "*"')
    host = parts.netloc.rpartition(":")[0] if port is not None else parts.netloc
    shown = "" if port in (None, _DEFAULT_PORTS.get(parts.scheme)) else f":{port}"
    return f"{parts.scheme}://{host}{shown}"
