"""The small tables of a comparison's folder: what was used (`usage.csv`), and instances over time (`timeline.csv`)."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import Field, ValidationError

from quickthaw_platform.comparison.recording import Model, NotNegative
from quickthaw_platform.errors import SettingsInvalid
from quickthaw_platform.findings import told

USAGE_FILE = "usage.csv"
TIMELINE_FILE = "timeline.csv"

Count = Annotated[int, Field(ge=0)]
Line = TypeVar("Line", bound=Model)


class UsageLine(Model):
    """What one backend used in one block and one phase. An endpoint has none: only its resident memory is known."""

    backend: str
    repeat: Count
    phase: str = Field(description="starting/STAGE, prefill, decode, idle or draining")
    seconds: NotNegative = Field(0.0, description="device-seconds")
    memory_byte_seconds: NotNegative = 0.0
    tokens_in: Count = 0
    tokens_out: Count = 0
    tokens_cached: Count = 0
    tokens_saved: Count = Field(0, description="left out of prompts by compression, beside tokens_in")
    requests: Count = 0
    fetched_bytes: Count = Field(0, description="read by starts, from all tiers")


class TimelineLine(Model):
    """Instances and queue of a backend at one moment of a block."""

    backend: str
    repeat: Count
    at: float = Field(description="seconds since the block's beginning")
    instances_starting: Count = 0
    instances_ready: Count = 0
    in_use: Count = Field(0, description="slots that hold a request")
    queued: Count = 0


def write_rows(file: Path, kind: type[Line], rows: Iterable[Line]) -> None:
    """Write a table with a header; the columns are the fields of `kind`, in their order."""
    with file.open("w", newline="", encoding="utf-8") as stream:
        table = csv.DictWriter(stream, list(kind.model_fields))
        table.writeheader()
        table.writerows(row.model_dump() for row in rows)


def read_rows(file: Path, kind: type[Line]) -> list[Line]:
    """Read it back; SettingsInvalid names the file, the line and the field that is wrong."""
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            table = csv.DictReader(stream)
            missing = {n for n, field in kind.model_fields.items() if field.is_required()} - set(table.fieldnames or ())
            if missing:
                raise SettingsInvalid(f"{file}: the header lacks {', '.join(sorted(missing))}")
            return [_parsed(file, table.line_num, row, kind) for row in table]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SettingsInvalid(f"{file} cannot be read: {error}") from error


def _parsed(file: Path, line: int, row: dict[str, str], kind: type[Line]) -> Line:
    try:
        return kind.model_validate(row)
    except ValidationError as error:
        raise SettingsInvalid(f"{file}, line {line}: {told(error)}") from error
