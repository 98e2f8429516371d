"""Which tokens end an answer."""

from __future__ import annotations

import json
from pathlib import Path


def end_tokens(path: Path) -> frozenset[int]:
    """Return the tokens that end an answer by generation_config.json, else by config.json; none if neither says."""
    for name in ("generation_config.json", "config.json"):
        file = path / name
        tokens = json.loads(file.read_bytes()).get("eos_token_id") if file.is_file() else None
        if tokens is not None:
            return frozenset(tokens if isinstance(tokens, list) else [tokens])
    return frozenset()
