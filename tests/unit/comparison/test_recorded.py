from __future__ import annotations

import json
from pathlib import Path

import pytest

from quickthaw_platform.comparison.recorded import read
from quickthaw_platform.comparison.rows import TimelineLine, UsageLine, read_rows, write_rows
from quickthaw_platform.errors import SettingsInvalid
from tests.unit.comparison.example_run import write_example


def test_a_run_is_read_as_it_was_written(tmp_path: Path) -> None:
    written = write_example(tmp_path)
    found = read(tmp_path)
    assert found.recording == written.recording
    assert found.results == written.results
    assert found.usage == written.usage
    assert found.timeline == written.timeline
    assert found.simulated == written.simulated
    assert found.missing == []


def test_a_folder_that_is_no_run_says_which_to_name(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match="name the folder that `quickthaw compare` wrote"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"slo": {"ttft": -1, "tpot": 1}}, "slo.ttft: Input should be greater than 0"),
        ({"backends": []}, "backends: "),
        ({"strange": 1}, "strange: Extra inputs are not permitted"),
        ({"blocks": [{"backend": "x", "repeat": 0, "began_at": 0, "seconds": 1, "sent": 1}]}, "no backend 'x'"),
        ({"backends": [{"name": "a", "kind": "serverless"}] * 2}, "two backends have the same name"),
        ({"backends": [{"name": "a", "kind": "serverless", "twin_of": "b"}], "blocks": []}, "twin of 'b'"),
    ],
)
def test_a_wrong_field_of_the_recording_is_named(tmp_path: Path, change: dict[str, object], said: str) -> None:
    write_example(tmp_path)
    file = tmp_path / "run.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(SettingsInvalid) as caught:
        read(tmp_path)
    assert str(file) in caught.value.message
    assert said in caught.value.message


def test_half_a_folder_gives_what_is_there_and_says_what_is_not(tmp_path: Path) -> None:
    write_example(tmp_path)
    (tmp_path / "usage.csv").unlink()
    (tmp_path / "requests.parquet").write_bytes((tmp_path / "requests.parquet").read_bytes()[:100])
    (tmp_path / "simulated.json").write_text("[{")
    found = read(tmp_path)
    assert not found.results
    assert not found.usage
    assert not found.simulated
    assert found.timeline
    assert [line.split(":")[0] for line in found.missing] == ["requests.parquet", "usage.csv", "simulated.json"]


def test_rows_of_strangers_are_left_out_and_said(tmp_path: Path) -> None:
    write_example(tmp_path)
    lines = [UsageLine(backend=name, repeat=0, phase="idle", seconds=1.0) for name in ("serverless", "who")]
    write_rows(tmp_path / "usage.csv", UsageLine, lines)
    found = read(tmp_path)
    assert [line.backend for line in found.usage] == ["serverless"]
    assert "rows of 'who' are left out" in found.missing[0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("backend,repeat,at\na,0,1\na,x,2\n", r"line 3: repeat: Input should be a valid integer"),
        ("backend,repeat\na,0\n", "the header lacks at"),
        ("backend,repeat,at\na,0\n", "line 2: at: "),
        ("backend,repeat,at\na,0,1,9\n", "line 2: "),
        ("backend,repeat,at,queued\na,0,1,-1\n", "queued: Input should be greater than or equal to 0"),
    ],
)
def test_a_wrong_row_is_named_by_its_line(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "timeline.csv"
    file.write_text(text)
    with pytest.raises(SettingsInvalid, match=said):
        read_rows(file, TimelineLine)


def test_a_table_survives_what_spreadsheets_do_to_it(tmp_path: Path) -> None:
    file = tmp_path / "timeline.csv"
    lines = [TimelineLine(backend="a", repeat=0, at=1.5, queued=2)]
    write_rows(file, TimelineLine, lines)
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
    assert read_rows(file, TimelineLine) == lines
