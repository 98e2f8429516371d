"""Names by which clients call the gateway: read from a setting. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

_NAME = re.compile(r"\.?[a-z0-9_-]+(\.[a-z0-9_-]+)*")


def read_hosts(value: object) -> object:
    """Return the names of a text with commas between, of a JSON list, or of a list; ValueError names a wrong one."""
    if isinstance(value, str):
        value = json.loads(value) if value.lstrip().startswith("[") else value.split(",")
    if not isinstance(value, Iterable):
        return value
    texts = (item.strip() if isinstance(item, str) else item for item in value)
    return tuple(_host(text) for text in texts if text != "")


def _host(text: object) -> str:
    """Return a name as `Host` headers hold it, in lower case; `.example.com` and `*.example.com` mean all below it."""
    name = str(text).lower().removesuffix(".")
    name = name[1:] if name.startswith("*.") else name
    if not _NAME.fullmatch(name):
        raise ValueError(
            f'{text!r} is not the name of a host; write it without scheme, port and path, as "llm.example.com", or '
            '".example.com" for all names below that one'
        )
    return name
