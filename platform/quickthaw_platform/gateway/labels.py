"""Metadata that callers hang on stored objects, within OpenAI's bounds."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

MAX_ENTRIES = 16
MAX_NAME = 64
MAX_VALUE = 512


def _check(found: dict[str, str]) -> dict[str, str]:
    if len(found) > MAX_ENTRIES:
        raise ValueError(f"has {len(found)} entries; at most {MAX_ENTRIES} are kept")
    long = next((name for name, value in found.items() if len(name) > MAX_NAME or len(value) > MAX_VALUE), None)
    if long is not None:
        raise ValueError(f"{long[:MAX_NAME]!r} is too long: names have up to {MAX_NAME} characters, values {MAX_VALUE}")
    return found


Metadata = Annotated[dict[str, str], AfterValidator(_check)]
"""Names and values, both text."""
