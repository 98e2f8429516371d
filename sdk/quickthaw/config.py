"""Which gateway a client talks to, and with which API key.

Strongest first: arguments, the variables QUICKTHAW_URL and QUICKTHAW_API_KEY, the file `client.toml` that
`quickthaw up` writes into its data directory, the platform's default address. An empty variable is none.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from quickthaw.errors import InvalidRequest

DEFAULT_URL = "http://127.0.0.1:8080"
URL_VARIABLE = "QUICKTHAW_URL"
KEY_VARIABLE = "QUICKTHAW_API_KEY"
DATA_DIR_VARIABLE = "QUICKTHAW_DATA_DIR"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A gateway's address, the key to send there, and where the address came from (for error messages)."""

    url: str
    api_key: str | None = field(default=None, repr=False)
    source: str = "argument"


def client_file(environ: Mapping[str, str] = os.environ) -> Path:
    """Return where `client.toml` is looked for; it need not exist."""
    data_dir = _variable(environ, DATA_DIR_VARIABLE)
    return (Path(data_dir).expanduser() if data_dir else Path.home() / ".quickthaw") / "client.toml"


def resolve(url: str | None = None, api_key: str | None = None, environ: Mapping[str, str] = os.environ) -> Endpoint:
    """Find the gateway. A key from the file is sent only to the file's own URL."""
    path = client_file(environ)
    file = _read(path)
    if url is not None and url.strip():
        found, source = url, "argument"
    elif variable := _variable(environ, URL_VARIABLE):
        found, source = variable, URL_VARIABLE
    elif "url" in file:
        found, source = file["url"], str(path)
    else:
        found, source = DEFAULT_URL, "default"
    found = _checked(found, source)
    key = (api_key or "").strip() or _variable(environ, KEY_VARIABLE)
    if key is None and file.get("url", "").rstrip("/") == found:
        key = file.get("api_key")
    return Endpoint(found, None if key is None else _checked_key(key), source)


def _variable(environ: Mapping[str, str], name: str) -> str | None:
    """Return what a variable holds, without blanks around it; None where that is nothing."""
    return environ.get(name, "").strip() or None


def _checked(url: str, source: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise InvalidRequest(f"{url!r} (from {source}) is not a gateway's URL; it begins with http:// or https://")
    try:
        named = urlsplit(url)
        whole = bool(named.hostname) and named.port != 0 and url.isprintable() and " " not in url
    except ValueError as error:
        raise InvalidRequest(f"{url!r} (from {source}) is not a gateway's URL: {error}") from error
    if not whole or named.query or named.fragment:
        raise InvalidRequest(f"{url!r} (from {source}) is not a gateway's URL; write it as http://HOST:PORT")
    return url.rstrip("/")


def _checked_key(key: str) -> str:
    """Return a key that may be sent in a header."""
    if not (key.isascii() and key.isprintable()):
        raise InvalidRequest("the API key is not valid: it has characters that no key has; was it copied whole?")
    return key


def _read(path: Path) -> dict[str, str]:
    try:
        body: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        return {}
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{path} cannot be read: {error}; `quickthaw up` writes it anew") from error
    return {name: value for name, value in body.items() if isinstance(value, str)}
