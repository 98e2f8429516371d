"""What a killed comparison has left is known to the next one; two at once are refused."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from quickthaw.errors import Conflict
from quickthaw_platform.comparison.journal import JOURNAL_FILE, Deployed, Journal, only_one

ONE = Deployed("http://127.0.0.1:1", "chat", "compare-1-0")
TWO = Deployed("http://127.0.0.1:1", "chat", "compare-1-1")


def test_what_was_noted_is_there_for_the_next_process(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.add(ONE)
    journal.add(TWO)
    journal.remove(ONE)
    assert Journal(tmp_path).deployed() == [TWO]


def test_a_fresh_folder_has_nothing(tmp_path: Path) -> None:
    assert Journal(tmp_path).deployed() == []


def test_a_broken_journal_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / JOURNAL_FILE).write_text("{")
    with pytest.raises(Conflict, match="alias ls"):
        Journal(tmp_path).deployed()


def test_a_second_comparison_is_refused_and_names_the_first(tmp_path: Path) -> None:
    other = (
        "import sys; from pathlib import Path; from quickthaw_platform.comparison.journal import only_one\n"
        "with only_one(Path(sys.argv[1])): pass"
    )
    with only_one(tmp_path):
        done = subprocess.run([sys.executable, "-c", other, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert f"process {os.getpid()}" in done.stderr
    with only_one(tmp_path):
        pass  # it was let go
