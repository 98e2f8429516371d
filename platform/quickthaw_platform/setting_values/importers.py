"""Public keys of machines that import checkpoints, in a setting. Pure."""

from __future__ import annotations

import re

from quickthaw_platform.setting_values.lists import read_list

_KEY = re.compile(r"[0-9a-f]{64}")


def read_importers(value: object) -> tuple[str, ...]:
    """Return the public keys of a setting, in lower case. Raises ValueError, naming a wrong one."""
    wanted = "public keys with commas between them, as `quickthaw models show` names signers"
    keys = tuple(text.lower() for text in read_list(value, wanted))
    for key in keys:
        if not _KEY.fullmatch(key):
            raise ValueError(f"{key!r} is no public key: that has 64 hexadecimal digits")
    return keys
