"""Traces of Mooncake (Qin et al., FAST'25): a JSON object a line, times in milliseconds."""

from __future__ import annotations

import json
from pathlib import Path

from quickthaw_platform.traffic.traces.files import opened, wrong
from quickthaw_platform.traffic.traces.trace import Rows

FIELDS = ("timestamp", "input_length", "output_length")


def read_mooncake(path: Path, into: Rows) -> None:
    """Read a JSONL trace; SettingsInvalid names the line that is none."""
    with opened(path) as text:
        for number, line in enumerate(text, 1):
            if not line.strip():
                continue
            try:
                milliseconds, tokens_in, tokens_out = _numbers(json.loads(line))
                into.add(milliseconds / 1000, int(tokens_in), int(tokens_out))
            except (ValueError, OverflowError) as error:
                raise wrong(path, number, f"{error} (a trace of kind 'mooncake')") from error


def _numbers(row: object) -> list[float]:
    if not isinstance(row, dict):
        raise ValueError("not a JSON object")
    if missing := [name for name in FIELDS if name not in row]:
        found = ", ".join(map(str, list(row)[:20])) or "none"
        raise ValueError(f"it lacks {', '.join(missing)}; its fields are {found}; wanted are {', '.join(FIELDS)}")
    values = [row[name] for name in FIELDS]
    for name, value in zip(FIELDS, values, strict=True):
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{name} is {value!r}, not a number")
    return values
