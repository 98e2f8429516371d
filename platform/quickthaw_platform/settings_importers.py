"""Public keys of machines that import checkpoints, in a setting. Pure."""

from __future__ import annotations

import re

_KEY = re.compile(r"[0-9a-f]{64}")


def read_importers(value: object) -> tuple[str, ...]:
    """Return the keys of a text with commas between them, or of a sequence. Raises ValueError, naming a wrong one."""
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list | tuple):
        raise ValueError("must be public keys with commas between them, as `quickthaw models show` names signers")
    keys = tuple(str(part).strip().lower() for part in parts if str(part).strip())
    for key in keys:
        if not _KEY.fullmatch(key):
            raise ValueError(f"{key!r} is no public key: that has 64 hexadecimal digits")
    return keys
