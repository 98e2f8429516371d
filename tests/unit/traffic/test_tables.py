from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from quickthaw_platform.errors import SettingsInvalid
from quickthaw_platform.traffic import tables
from quickthaw_platform.traffic.result import RequestResult
from tests.small_files import files_of_at_most
from tests.unit.traffic.results import COLD, MISSED, result

SUFFIXES = pytest.mark.parametrize("suffix", [".parquet", ".csv"])


@SUFFIXES
def test_results_come_back_as_they_were(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"results{suffix}"
    given = [result(0), COLD, MISSED]
    tables.write(iter(given), path)
    assert list(tables.read(path)) == given


@SUFFIXES
def test_no_results_are_a_table_without_rows(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"results{suffix}"
    tables.write([], path)
    assert list(tables.read(path)) == []


def test_many_results_are_written_part_by_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "ROWS_AT_ONCE", 10)
    path = tmp_path / "results.parquet"
    tables.write((result(number) for number in range(25)), path)
    assert pq.ParquetFile(path).num_row_groups == 3
    assert [found.number for found in tables.read(path)] == list(range(25))


def test_columns_are_the_fields_of_a_result(tmp_path: Path) -> None:
    assert tuple(tables.SCHEMA.names) == tables.COLUMNS
    path = tmp_path / "results.parquet"
    tables.write([COLD], path, {"quickthaw.load": "{}"})
    assert pq.read_schema(path).names == list(tables.COLUMNS)
    assert pq.read_schema(path).metadata[b"quickthaw.load"] == b"{}"


@SUFFIXES
def test_a_full_disk_is_told_and_leaves_no_half_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"results{suffix}"
    tables.write([result(0)], path)
    gaps = [tuple(random.random() for _ in range(100)) for _ in range(100)]  # which nothing can compress
    with files_of_at_most(20_000), pytest.raises(SettingsInvalid, match=r"File too large\. Make room") as caught:
        tables.write((result(number, gaps=gaps[number]) for number in range(100)), path)
    assert str(path) in caught.value.message
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    assert list(tables.read(path)) == [result(0)]  # the older file


@SUFFIXES
def test_a_failure_while_results_come_leaves_no_half_file(tmp_path: Path, suffix: str) -> None:
    def breaking() -> Iterator[RequestResult]:
        yield result(0)
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        tables.write(breaking(), tmp_path / f"results{suffix}")
    assert list(tmp_path.iterdir()) == []


def test_another_ending_is_refused(tmp_path: Path) -> None:
    for call in (lambda path: tables.write([], path), tables.check_writable):
        with pytest.raises(SettingsInvalid, match=r"\.parquet or \.csv"):
            call(tmp_path / "results.xlsx")


def test_a_folder_that_is_not_there_is_told_before_the_run(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match="no such folder"):
        tables.check_writable(tmp_path / "nowhere" / "results.csv")
    tables.check_writable(tmp_path / "results.csv")
    assert list(tmp_path.iterdir()) == []


@SUFFIXES
@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n", b"PAR1 and rubbish"])
def test_a_file_that_holds_no_results_is_named(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"results{suffix}"
    path.write_bytes(content)
    if suffix == ".csv" and b"\n" not in content:
        content += b"\nx"
        path.write_bytes(content)
    with pytest.raises(SettingsInvalid, match="cannot be read as results"):
        list(tables.read(path))


@SUFFIXES
def test_the_file_is_readable_as_others_are(tmp_path: Path, suffix: str) -> None:
    path, other = tmp_path / f"results{suffix}", tmp_path / "other"
    other.touch()
    tables.write([], path)
    assert path.stat().st_mode == other.stat().st_mode
