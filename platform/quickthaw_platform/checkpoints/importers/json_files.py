"""JSON files of a model that comes from strangers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

MAX_JSON_BYTES = 64 << 20
"""The largest indexes of shards have a few megabytes."""


def read_json(file: Path) -> Any:
    """Return what a file holds. Raises OSError, and ValueError for what is no JSON, too deep or too large."""
    with file.open("rb") as opened:
        content = opened.read(MAX_JSON_BYTES + 1)
    if len(content) > MAX_JSON_BYTES:
        raise ValueError(f"it has more than {MAX_JSON_BYTES:,} bytes")
    try:
        return json.loads(content)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
