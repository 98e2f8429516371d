"""Which tokens end an answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_FILES = ("generation_config.json", "config.json")


def end_tokens(path: Path) -> frozenset[int]:
    """Return all tokens that generation_config.json and config.json, its part for text included, name as ends.

    The two often name different ones, a model's end of text and its end of a turn: an answer may end with either.
    """
    configs = [json.loads((path / name).read_bytes()) for name in _FILES if (path / name).is_file()]
    parts = [part for config in configs for part in (config, config.get("text_config")) if isinstance(part, Mapping)]
    return frozenset(token for part in parts for token in _named(part))


def _named(config: Mapping[str, Any]) -> list[int]:
    tokens = config.get("eos_token_id")
    return [] if tokens is None else tokens if isinstance(tokens, list) else [tokens]


def mark_at_start(text: str, marks: Mapping[str, int]) -> frozenset[int]:
    """Return the longest of these special tokens with which `text`, which follows an answer, begins; else none."""
    begun = text.lstrip()
    found = max((mark for mark in marks if mark and begun.startswith(mark)), key=len, default=None)
    return frozenset() if found is None else frozenset({marks[found]})
