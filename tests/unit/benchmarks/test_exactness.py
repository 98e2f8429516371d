"""Comparing answers token by token."""

import pytest

from benchmarks.exactness.report import (
    BESIDE,
    EXACT,
    RESUMED,
    Case,
    Comparison,
    Speed,
    compare,
    compare_next,
    report,
    speed_report,
)
from quickthaw.generation import TokenLogprob


def entry(token: int, *top: float, texts: str = "abcdef") -> TokenLogprob:
    return TokenLogprob(token, texts[0], top[0], tuple(zip(texts, top, strict=False)))


def test_the_same_answer_drifts_without_a_flip() -> None:
    expected = [entry(1, -0.1, -3.0), entry(2, -0.5, -1.0)]
    found = [entry(1, -0.1, -3.0), entry(2, -0.625, -0.75)]
    assert compare(expected, found) == Comparison(flip=None, margin=None, drift=0.25)


def test_what_follows_a_flip_is_another_answer_and_not_compared() -> None:
    expected = [entry(1, -0.1, -3.0), entry(2, -0.625, -0.75), entry(3, -0.1, -9.0)]
    found = [entry(1, -0.1, -3.0), entry(4, -0.625, -0.75, texts="ba"), entry(3, -5.0, -9.0)]
    assert compare(expected, found) == Comparison(flip=1, margin=0.125, drift=0.125)


def test_rivals_that_look_alike_are_not_taken_for_each_other() -> None:
    assert compare([entry(1, -0.1, -2.0, -3.0, texts="a��")], [entry(1, -0.1, -3.0, -4.0, texts="a��")]).drift == 0


def test_the_next_token_is_the_likeliest_after_a_recomputed_prefix() -> None:
    expected = entry(1, -0.625, -0.75)
    assert compare_next(expected, entry(1, -0.625, -0.875)) == Comparison(None, None, 0.125)
    assert compare_next(expected, entry(1, -0.625, -0.75, texts="ba")) == Comparison(0, 0.125, 0.125)


SAME, FLIPPED = Comparison(None, None, 0.0), Comparison(3, 0.01, 0.02)


def test_only_the_default_way_has_to_be_exact() -> None:
    found = {
        Case(EXACT, RESUMED, "greedy"): [SAME, SAME],
        Case(EXACT, RESUMED, "sampled"): [SAME, FLIPPED],
        Case(EXACT, BESIDE, "greedy"): [SAME],
        Case("mixed", RESUMED, "greedy"): [FLIPPED, SAME, SAME, SAME],
    }
    made = report(found, {})
    assert [(goal.value, goal.held) for goal in made.goals] == [(1, False), (0, True), (0, True)]
    mixed = made.rows[-1]
    assert (mixed["differ"], mixed["share"], mixed["margin, most"]) == (1, 0.25, 0.01)
    assert mixed["drift, most"] == 0.02
    assert made.rows[1]["margin, most"] is None, "between sampled tokens there is no such margin"


def test_speeds_are_medians_beside_the_fastest() -> None:
    made = speed_report({"a": [Speed(10, 20), Speed(20, 30), Speed(90, 31)], "b": [Speed(40, 60)]}, 4, {})
    assert [row["of the fastest"] for row in made.rows] == pytest.approx([0.5, 1.0])
    assert made.rows[0]["tokens/s, 4 streams"] == 30
