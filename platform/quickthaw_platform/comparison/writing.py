"""Writes what a run leaves in its folder: each file as a whole or not at all, so that a kill leaves the ones before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from quickthaw_platform.comparison.recording import RUN_FILE, SIMULATED_FILE, Recording, SimulatedPoint
from quickthaw_platform.comparison.rows import TIMELINE_FILE, USAGE_FILE, TimelineLine, UsageLine, write_rows
from quickthaw_platform.errors import SettingsInvalid
from quickthaw_platform.traffic import tables
from quickthaw_platform.traffic.result import RequestResult

REQUESTS_FILE = "requests.parquet"


@dataclass(slots=True)
class Measured:
    """What a run has measured so far."""

    results: list[RequestResult] = field(default_factory=list)
    usage: list[UsageLine] = field(default_factory=list)
    timeline: list[TimelineLine] = field(default_factory=list)


def make_folder(folder: Path) -> None:
    """Make the folder of a run; SettingsInvalid where it holds something already, or cannot be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise SettingsInvalid(
                f"{folder} is not empty; name another folder, or render what it holds with `quickthaw compare --from`"
            )
    except OSError as error:
        raise SettingsInvalid(f"the folder {folder} cannot be made: {error.strerror}") from error


def write_run(folder: Path, recording: Recording, measured: Measured) -> None:
    """Write all that is known of a run; SettingsInvalid, with what was written before left as it is, if it fails."""
    _write(folder / USAGE_FILE, lambda path: write_rows(path, UsageLine, measured.usage))
    _write(folder / TIMELINE_FILE, lambda path: write_rows(path, TimelineLine, measured.timeline))
    tables.write(measured.results, folder / REQUESTS_FILE)
    write_text(folder / RUN_FILE, recording.model_dump_json(indent=2))


def write_simulated(folder: Path, points: Sequence[SimulatedPoint]) -> None:
    """Write the points of a simulation."""
    rows = ",\n".join(point.model_dump_json() for point in points)
    write_text(folder / SIMULATED_FILE, f"[\n{rows}\n]\n")


def write_text(file: Path, text: str) -> None:
    """Write a text file as a whole or not at all."""
    _write(file, lambda path: path.write_text(text, encoding="utf-8"))


def _write(file: Path, write: Callable[[Path], object]) -> None:
    partial = file.with_name(f".{file.name}.part")
    try:
        write(partial)
        partial.replace(file)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise SettingsInvalid(
            f"{file} was not written: {error.strerror}. Make room, or choose another place"
        ) from error
