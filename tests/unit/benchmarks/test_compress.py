"""What bench-compress compares with, and how it reads its own numbers."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from benchmarks.compress.__main__ import answers_report
from benchmarks.compress.answers import EXAMPLES, ORIGINAL, Measured, answer_rows
from benchmarks.compress.asking import Answer
from benchmarks.compress.choices import BEST, NONE, WORST, choices
from benchmarks.compress.safety import DATA
from benchmarks.compress.tasks import Task, gsm8k
from benchmarks.compress.timing import break_even
from benchmarks.compress.ways import randomly_deleted, truncated, without_stop_words
from benchmarks.report import Cell, Goal, Report
from benchmarks.written import tables

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
    assert "| a | b |\n| --- | --- |\n| 1 | – |" in tables([report])
    assert "* g: 3, goal <= 2: missed" in tables([report])


class Words:
    """Tells how likely an answer is by how long the prompt is; each word is a token."""

    def count(self, text: str) -> int:
        return len(text.split())

    def likelihood(self, prompt: str, answer: str) -> Answer:
        return Answer(float(len(prompt)), len(answer.split()))


def test_the_best_and_the_worst_choice_of_examples_are_found_among_those_that_fit() -> None:
    shots = [f"Question: {word}\nAnswer: {word}\n\n" for word in ("a", "bb", "ccc", "dddd")]
    prompt = f"{''.join(shots)}Question: e\nAnswer:"
    found = choices(Task("k", prompt, " e"), 0.6, Words())  # type: ignore[arg-type]
    assert found[BEST][0] == f"{shots[0]}{shots[1]}Question: e\nAnswer:"
    assert found[WORST][0] == f"{shots[2]}{shots[3]}Question: e\nAnswer:"
    assert found[NONE][0] == "Question: e\nAnswer:"


@pytest.mark.skipif(not DATA.is_dir(), reason="the texts of the benchmark are not here")
@pytest.mark.parametrize("index", [0, 49])
def test_prompts_of_all_questions_have_their_examples(index: int) -> None:
    assert gsm8k(index, 8).prompt.count("\nAnswer:") == 9


def test_a_prompt_without_examples_has_no_choices() -> None:
    assert choices(Task("k", TEXT, " sat"), 0.6, Words()) == {}  # type: ignore[arg-type]


@pytest.mark.parametrize(("truncation", "held"), [(1.5, True), (0.5, False)])
def test_ours_is_held_against_the_best_way_that_is_as_short(truncation: float, held: bool) -> None:
    told = {ORIGINAL: (1.0, 0.0), EXAMPLES: (2.2, 1.0), "truncation": (2.2, truncation), "stop words": (1.3, 0.1)}
    rows: list[Mapping[str, Cell]] = [
        {"prompts": "GSM8K", "way": way, "times shorter": shorter, "nats, %": nats}
        for way, (shorter, nats) in [*told.items(), (BEST, (2.2, -5.0))]
    ]
    assert answers_report(rows, {}).goals[-1].held is held
