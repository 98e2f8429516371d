"""Labels of a node, in a setting. Pure."""

from __future__ import annotations

import json


def read_labels(value: object) -> object:
    """Return the labels of a text: `zone=a,gpu=l4`, or a JSON object. Anything but a text is returned as it is.

    Raises ValueError, naming what is not name=value.
    """
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("{"):
        return json.loads(value)
    pairs = [pair.partition("=") for pair in value.split(",") if pair.strip()]
    wrong = next((name for name, equals, _ in pairs if not equals), None)
    if wrong is not None:
        raise ValueError(f"{wrong.strip()!r} is not name=value")
    return {name.strip(): text.strip() for name, _, text in pairs}
