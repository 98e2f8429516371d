"""What bench-validate says of its runs, and where that is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.report import Report
from benchmarks.validate.__main__ import MIXED, OURS, PEER, PEER_MIXED, PREFILL, Plan, Run, report
from benchmarks.written import write

FLOAT32 = {
    OURS: [Run(10.0, 400.0, 37.6801, 8.0)],
    PEER: [Run(30.0, None, 37.6802, 40.0)],
    PREFILL: [Run(9.0, 500.0, None)],
}


def held(found: dict[str, list[Run]]) -> dict[str, bool]:
    return {goal.name: goal.held for goal in report(found, Plan()).goals}


def test_runs_are_compared_with_those_of_the_same_precision() -> None:
    narrow = {MIXED: [Run(9.0, 450.0, 37.7, 6.0)], PEER_MIXED: [Run(18.0, None, 37.6, 20.0)]}
    goals = {goal.name: goal.value for goal in report(FLOAT32 | narrow, Plan()).goals}
    assert goals[f"times faster than lm-eval: {OURS}"] == pytest.approx(3.0)
    assert goals[f"times faster than lm-eval: {MIXED}"] == pytest.approx(2.0)


def test_a_processor_without_bfloat16_has_no_goals_of_it() -> None:
    found = held(FLOAT32)
    assert len(found) == 3
    assert all(found.values())


def test_another_result_in_float32_is_no_success() -> None:
    found = held(FLOAT32 | {PEER: [Run(30.0, None, 37.69, 40.0)]})
    assert not found[f"relative difference of word perplexities: {OURS}"]


def test_a_table_goes_between_the_marks_and_nothing_else_changes(tmp_path: Path) -> None:
    document = tmp_path / "document.md"
    document.write_text("before\n\n<!-- bench-x: how -->\nold\n<!-- end of bench-x -->\n\nafter\n")
    write([Report("x", ({"": "way", "seconds": 31.71, "tokens/s": None},), ())], document, "bench-x")
    text = document.read_text()
    assert text.startswith("before\n\n<!-- bench-x: how -->\nMeasured on ")
    assert "| way | 31.71 | – |" in text
    assert text.endswith("<!-- end of bench-x -->\n\nafter\n")
    assert "old" not in text


def test_a_document_without_marks_is_left_as_it_is(tmp_path: Path) -> None:
    document = tmp_path / "document.md"
    document.write_text("nothing\n")
    with pytest.raises(ValueError, match="substring not found"):
        write([Report("x", ({"": "way"},), ())], document, "bench-x")
    assert document.read_text() == "nothing\n"
