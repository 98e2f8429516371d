from __future__ import annotations

from pathlib import Path

import pytest

from quickthaw_platform.commands.log_rotation import rotate

LARGEST = 100


@pytest.mark.parametrize("moved", [True, False])
def test_a_large_log_is_set_aside_in_place_of_the_one_before(moved: bool, tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    (tmp_path / "a.log.1").write_text("old")
    log.write_text("x" * (LARGEST + 1))
    rotate(log, LARGEST, moved=moved)
    assert (tmp_path / "a.log.1").read_text() == "x" * (LARGEST + 1)
    assert not log.exists() if moved else log.read_text() == ""


def test_a_writer_that_keeps_its_file_goes_on_at_its_beginning(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    with log.open("a") as writer:
        writer.write("x" * (LARGEST + 1))
        writer.flush()
        rotate(log, LARGEST, moved=False)
        writer.write("after")
    assert log.read_text() == "after"


@pytest.mark.parametrize("moved", [True, False])
def test_a_small_log_and_none_stay(moved: bool, tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    rotate(log, LARGEST, moved=moved)
    log.write_text("x" * LARGEST)
    rotate(log, LARGEST, moved=moved)
    assert [file.name for file in tmp_path.iterdir()] == ["a.log"]


def test_what_was_set_aside_and_goes_on_growing_is_cut(tmp_path: Path) -> None:
    aside = tmp_path / "a.log.1"
    aside.write_text("x" * (2 * LARGEST + 1))
    rotate(tmp_path / "a.log", LARGEST, moved=True)
    assert aside.read_text() == ""


def test_a_log_without_room_for_a_copy_is_still_held_to_its_size(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text("x" * (LARGEST + 1))
    (tmp_path / "a.log.1").mkdir()  # stands for a copy that cannot be written
    rotate(log, LARGEST, moved=False)
    assert log.stat().st_size == 0
