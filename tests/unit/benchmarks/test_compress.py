"""What bench-compress compares with, and how it reads its own numbers."""

from __future__ import annotations

import pytest

from benchmarks.compress.answers import ORIGINAL, Measured, answer_rows
from benchmarks.compress.asking import Answer
from benchmarks.compress.timing import break_even
from benchmarks.compress.ways import randomly_deleted, truncated, without_stop_words
from benchmarks.compress.written import tables
from benchmarks.report import Goal, Report

TEXT = "The cat of the house sat on the mat.\n\nWhat did the cat do?"


def count(text: str) -> int:
    return len(text.split())


def test_truncation_keeps_the_end() -> None:
    assert truncated(TEXT, 5, count).strip() == "What did the cat do?"


@pytest.mark.parametrize("shorten", [randomly_deleted, without_stop_words], ids=["random", "stop words"])
def test_other_ways_spare_the_question_and_come_near_the_tokens(shorten: object) -> None:
    made = shorten(TEXT, 11, count)  # type: ignore[operator]
    assert made.endswith("What did the cat do?")
    assert count(made) == 11


def test_stop_words_end_before_the_rest_is_touched() -> None:
    made = without_stop_words(TEXT, 1, count)
    assert made.split("\n\n")[0].split() == ["cat", "house", "sat", "mat."]


def test_answers_are_compared_with_the_prompt_as_it_is() -> None:
    found = [[Measured("k", ORIGINAL, 100, Answer(10.0, 5)), Measured("k", "way", 40, Answer(11.0, 5))]]
    (_, row) = answer_rows(found)
    assert row == {
        "prompts": "k", "way": "way", "tokens": 40, "times shorter": 2.5, "nats a token": 2.2, "nats, %": 10.0
    }  # fmt: skip


def timed(tokens: int, plain: float, shorter: float) -> dict[str, str | int | float | None]:
    seconds = {"as it is, s": plain, "frequency, s": shorter, "kept, s": 0.1, "frequency kept, s": 0.2}
    return {"engine": "e", "tokens": tokens, **seconds}


@pytest.mark.parametrize(
    ("rows", "least"),
    [
        ([timed(100, 1.0, 1.1), timed(200, 2.0, 1.5), timed(400, 4.0, 2.0)], "200"),
        ([timed(100, 1.0, 0.9), timed(200, 2.0, 2.5), timed(400, 4.0, 2.0)], "400"),  # once is not enough
        ([timed(100, 1.0, 1.1), timed(200, 2.0, 2.5)], "none up to 200"),
    ],
    ids=["from one length on", "not at all lengths", "never"],
)
def test_compression_pays_from_the_length_after_the_last_at_which_it_does_not(
    rows: list[dict[str, str | int | float | None]], least: str
) -> None:
    assert break_even(rows) == {"e, prefix new": least, "e, prefix kept": f"none up to {rows[-1]['tokens']}"}


def test_tables_tell_goals_that_were_missed_too() -> None:
    report = Report("r", ({"a": 1, "b": None},), (Goal("g", 3, 2, "<="),), {"ratio": 0.5})
    assert "| a | b |\n| --- | --- |\n| 1 | None |" in tables([report])
    assert "* g: 3, goal <= 2: missed" in tables([report])
