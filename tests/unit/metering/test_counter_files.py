"""What a process counts while the disk of its counters is full: it goes on, and what was written stays readable."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_client.mmap_dict import MmapedDict

from quickthaw_platform.metering.counter_files import INITIAL_BYTES, CounterFile


@contextmanager
def counters(path: Path) -> Iterator[CounterFile]:
    file = CounterFile(str(path))
    yield file
    file.close()  # type: ignore[no-untyped-call]


def read(path: Path) -> dict[str, float]:
    """Return what the collector of all processes finds."""
    rows = MmapedDict.read_all_values_from_file(str(path))  # type: ignore[no-untyped-call]
    return {key: value for key, value, _, _ in rows}


def fill_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_descriptor: int, _offset: int, _size: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", refuse)


def write(file: CounterFile, key: str, value: float) -> None:
    file.write_value(key, value, 1.0)  # type: ignore[no-untyped-call]


def test_the_room_is_taken_before_it_is_used(tmp_path: Path) -> None:
    path = tmp_path / "counter_1.db"
    with counters(path) as file:
        assert path.stat().st_blocks * 512 >= INITIAL_BYTES
        for number in range(2000):
            write(file, f"a key of some length, number {number}", number)
        assert path.stat().st_blocks * 512 >= path.stat().st_size > INITIAL_BYTES
        assert len(read(path)) == 2000


def test_a_process_that_begins_on_a_full_disk_counts_in_memory_and_leaves_no_empty_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_up(monkeypatch)
    with counters(tmp_path / "counter_1.db") as file:
        for number in range(2000):
            write(file, f"a key of some length, number {number}", number)
        assert file.read_value("a key of some length, number 1999") == (1999.0, 1.0)  # type: ignore[no-untyped-call]
        assert list(tmp_path.iterdir()) == []


def test_a_disk_that_runs_full_keeps_what_was_counted_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "counter_1.db"
    with counters(path) as file:
        write(file, "before", 1)
        fill_up(monkeypatch)
        for number in range(2000):
            write(file, f"a key of some length, number {number}", number)
        write(file, "before", 2)
        assert file.read_value("before") == (2.0, 1.0)  # type: ignore[no-untyped-call]
        assert read(path)["before"] == 1.0
        assert path.stat().st_size == INITIAL_BYTES


def test_an_error_of_another_kind_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        CounterFile(str(tmp_path / "nowhere" / "counter_1.db"))
