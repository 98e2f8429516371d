"""A run's files are written as a whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from quickthaw_platform.comparison.recorded import read
from quickthaw_platform.comparison.rows import UsageLine
from quickthaw_platform.comparison.writing import Measured, make_folder, write_run, write_text
from quickthaw_platform.errors import SettingsInvalid
from tests.small_files import files_of_at_most
from tests.unit.comparison.example_run import example_recording


def test_what_is_written_can_be_read_again(tmp_path: Path) -> None:
    measured = Measured(usage=[UsageLine(backend="serverless", repeat=0, phase="idle", seconds=1.5)])
    write_run(tmp_path, example_recording(), measured)
    found = read(tmp_path)
    assert (found.recording, found.usage, found.results) == (example_recording(), measured.usage, [])


def test_a_full_disk_leaves_what_was_there_and_no_half_file(tmp_path: Path) -> None:
    write_text(tmp_path / "run.json", "before")
    lines = [UsageLine(backend="serverless", repeat=n, phase="idle", seconds=1.5) for n in range(100)]
    with files_of_at_most(200), pytest.raises(SettingsInvalid, match=r"usage\.csv was not written.*Make room"):
        write_run(tmp_path, example_recording(), Measured(usage=lines))
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]
    assert (tmp_path / "run.json").read_text() == "before"


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsInvalid, match="file"):
        make_folder(tmp_path / "file" / "run")
