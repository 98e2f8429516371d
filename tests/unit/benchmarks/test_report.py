"""Goals, tables and the file that a benchmark leaves."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.report import Goal, Report, show, write


@pytest.mark.parametrize(
    ("value", "bound", "direction", "held"),
    [
        (1.4, 1.5, "<=", True),
        (1.5, 1.5, "<=", True),  # the bound itself keeps it
        (1.6, 1.5, "<=", False),
        (25.0, 25.0, ">=", True),
        (24.9, 25.0, ">=", False),
        (float("nan"), 1.5, "<=", False),  # what was not measured keeps nothing
    ],
)
def test_a_goal_is_held_up_to_its_bound(value: float, bound: float, direction: str, held: bool) -> None:
    assert Goal("g", value, bound, direction).held is held  # type: ignore[arg-type]  # a table of plain strings


REPORT = Report(
    "sample",
    rows=({"way": "ours", "s": 0.1234567, "lost": 0}, {"way": "theirs", "s": None, "lost": 12345}),
    goals=(Goal("faster", 5.0, 4.0, ">="), Goal("over the floor", 1.7, 1.5, "<=")),
    settings={"rounds": 3},
)


def test_the_file_has_machine_commit_rows_and_goals(tmp_path: Path) -> None:
    path = write(REPORT, tmp_path / "results")
    assert path.name == "bench-sample.json"
    body = json.loads(path.read_text())
    assert body["rows"] == [dict(row) for row in REPORT.rows]
    assert body["goals"][0] == {"name": "faster", "value": 5.0, "bound": 4.0, "direction": ">="}
    assert body["settings"] == {"rounds": 3}
    assert body["machine"]["cores"] >= 1
    assert body["commit"]


def test_a_second_run_replaces_the_file(tmp_path: Path) -> None:
    write(REPORT, tmp_path)
    write(Report("sample", (), ()), tmp_path)
    assert json.loads((tmp_path / "bench-sample.json").read_text())["rows"] == []


def test_the_tables_show_rows_and_which_goals_hold() -> None:
    out = io.StringIO()
    show(REPORT, Console(file=out, width=120))
    text = out.getvalue()
    for piece in ("0.1235", "12,345", "–", "faster", "yes", "over the floor", "no"):
        assert piece in text
