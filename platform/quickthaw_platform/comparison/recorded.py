"""Reads the folder of a run, also one that was interrupted: what is missing is said, and the rest is there."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from quickthaw_platform.comparison.recording import RUN_FILE, SIMULATED_FILE, Recording, SimulatedPoint
from quickthaw_platform.comparison.rows import TIMELINE_FILE, USAGE_FILE, TimelineLine, UsageLine, read_rows
from quickthaw_platform.errors import SettingsInvalid
from quickthaw_platform.findings import told
from quickthaw_platform.traffic import tables
from quickthaw_platform.traffic.result import RequestResult

REQUESTS_FILE = "requests.parquet"
_POINTS = TypeAdapter(list[SimulatedPoint])

Row = TypeVar("Row", RequestResult, UsageLine, TimelineLine)


@dataclass(frozen=True)
class Recorded:
    """All that a report is made from. `missing` says what was not there, or could not be read."""

    recording: Recording
    results: list[RequestResult] = field(default_factory=list)
    usage: list[UsageLine] = field(default_factory=list)
    timeline: list[TimelineLine] = field(default_factory=list)
    simulated: list[SimulatedPoint] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def read(folder: Path) -> Recorded:
    """Read a run's folder; SettingsInvalid where it is none, naming the file and the field.

    Without `run.json` there is nothing to tell. Any other table that is absent, broken off or wrong is left out and
    named in `missing`.
    """
    recording = _recording(folder / RUN_FILE)
    missing: list[str] = []
    results = _table(folder / REQUESTS_FILE, lambda file: list(tables.read(file)), missing)
    usage = _table(folder / USAGE_FILE, lambda file: read_rows(file, UsageLine), missing)
    timeline = _table(folder / TIMELINE_FILE, lambda file: read_rows(file, TimelineLine), missing)
    simulated = _table(folder / SIMULATED_FILE, _simulated, missing) if (folder / SIMULATED_FILE).exists() else []
    names = {backend.name for backend in recording.backends}
    return Recorded(
        recording,
        _known(results, names, REQUESTS_FILE, missing),
        _known(usage, names, USAGE_FILE, missing),
        _known(timeline, names, TIMELINE_FILE, missing),
        simulated,
        missing,
    )


def _recording(file: Path) -> Recording:
    if not file.is_file():
        raise SettingsInvalid(
            f"{file} does not exist: name the folder that `quickthaw compare` wrote, the one with {RUN_FILE} in it"
        )
    try:
        return Recording.model_validate_json(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsInvalid(f"{file} cannot be read: {error}") from error
    except ValidationError as error:
        raise SettingsInvalid(f"{file}: {told(error)}") from error


Found = TypeVar("Found")


def _table(file: Path, read_it: Callable[[Path], list[Found]], missing: list[str]) -> list[Found]:
    if not file.exists():
        missing.append(f"{file.name}: not there; the run was stopped before it was written, or the file was removed")
        return []
    try:
        return read_it(file)
    except SettingsInvalid as error:
        missing.append(f"{file.name}: left out, because it cannot be read: {error.message}")
        return []


def _known(rows: list[Row], names: set[str], file: str, missing: list[str]) -> list[Row]:
    strange = sorted({row.backend for row in rows} - names)
    if strange:
        missing.append(f"{file}: rows of {', '.join(map(repr, strange))} are left out: {RUN_FILE} has no such backend")
    return [row for row in rows if row.backend in names]


def _simulated(file: Path) -> list[SimulatedPoint]:
    try:
        return _POINTS.validate_python(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:  # a ValidationError, and what is no JSON, are ValueErrors
        said = told(error) if isinstance(error, ValidationError) else str(error)
        raise SettingsInvalid(f"{file}: {said}") from error
