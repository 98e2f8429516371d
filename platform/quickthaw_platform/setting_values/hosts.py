"""Names by which clients call the gateway: read from a setting. Pure."""

from __future__ import annotations

import re

from quickthaw_platform.setting_values.lists import read_list

_NAME = re.compile(r"\.?[a-z0-9_-]+(\.[a-z0-9_-]+)*")


def read_hosts(value: object) -> tuple[str, ...]:
    """Return the names of hosts of a setting. Raises ValueError, naming a wrong one."""
    wanted = "names of hosts with commas between them, for example llm.example.com,.lan.example"
    return tuple(_host(text) for text in read_list(value, wanted))


def _host(text: str) -> str:
    """Return a name as `Host` headers hold it, in lower case; `.example.com` and `*.example.com` mean all below it."""
    name = text.lower().removesuffix(".")
    name = name[1:] if name.startswith("*.") else name
    if not _NAME.fullmatch(name):
        raise ValueError(
            f'{text!r} is not the name of a host; write it without scheme, port and path, as "llm.example.com", or '
            '".example.com" for all names below that one'
        )
    return name
