"""Lists in settings. Pure."""

from __future__ import annotations

import json


def read_list(value: object, wanted: str) -> tuple[str, ...]:
    """Return the items of a text with commas between them, of a JSON list in a text, or of a sequence, without blanks.

    `wanted` says in the error what the setting holds, with an example. Raises ValueError for anything else.
    """
    if isinstance(value, str):
        value = json.loads(value) if value.lstrip().startswith("[") else value.split(",")
    if not isinstance(value, list | tuple):
        raise ValueError(f"must be {wanted}")
    texts = (str(item).strip() for item in value)
    return tuple(text for text in texts if text)
