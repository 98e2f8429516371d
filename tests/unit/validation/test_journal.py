"""What is on the disk while a text is scored."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from quickthaw.errors import Conflict
from quickthaw_platform.validation.journal import journal
from quickthaw_platform.validation.scores import WindowScore

KEY = "a" * 64


def stopped(folder: Path, *numbers: int, resume: bool = False) -> None:
    """Score some windows and be stopped."""
    with suppress(KeyboardInterrupt), journal(folder, KEY, resume=resume) as found:
        for number in numbers:
            found.add(WindowScore(number, 0.1 * number, 7), 1.5 * number)
        raise KeyboardInterrupt


def test_a_stopped_run_is_gone_on_with(tmp_path: Path) -> None:
    stopped(tmp_path, 0, 3)
    with journal(tmp_path, KEY, resume=True) as found:
        assert found.scores == {0: WindowScore(0, 0.0, 7), 3: WindowScore(3, 0.1 * 3, 7)}
        assert found.seconds == 4.5


def test_without_resume_it_is_begun_anew(tmp_path: Path) -> None:
    stopped(tmp_path, 0, 3)
    with journal(tmp_path, KEY, resume=False) as found:
        assert found.scores == {}


def test_resuming_what_was_never_begun_begins_it(tmp_path: Path) -> None:
    with journal(tmp_path, KEY, resume=True) as found:
        assert found.scores == {}


def test_nothing_is_left_behind_a_finished_run(tmp_path: Path) -> None:
    stopped(tmp_path, 0)
    with journal(tmp_path, KEY, resume=True) as found:
        found.add(WindowScore(1, 1.0, 7), 2.0)
    assert list(tmp_path.iterdir()) == []


def test_a_line_that_a_kill_cut_short_counts_as_none_and_is_written_over(tmp_path: Path) -> None:
    stopped(tmp_path, 1, 2)
    (file,) = tmp_path.iterdir()
    file.write_text(file.read_text()[:-9])
    stopped(tmp_path, 5, resume=True)
    with journal(tmp_path, KEY, resume=True) as found:
        assert sorted(found.scores) == [1, 5]


def test_a_head_that_a_kill_cut_short_begins_anew(tmp_path: Path) -> None:
    stopped(tmp_path, 1)
    (file,) = tmp_path.iterdir()
    file.write_text('{"ke')
    with journal(tmp_path, KEY, resume=True) as found:
        assert found.scores == {}


def test_two_of_the_same_at_once_conflict_and_two_others_do_not(tmp_path: Path) -> None:
    with (
        journal(tmp_path, KEY, resume=False),
        journal(tmp_path, "b" * 64, resume=False),
        pytest.raises(Conflict, match="by another process"),
        journal(tmp_path, KEY, resume=True),
    ):
        pass
    with journal(tmp_path, KEY, resume=False) as found:
        assert found.scores == {}
