"""The engines' benchmark: what becomes of given measurements, and its prompts."""

from __future__ import annotations

import pytest

from benchmarks.engines.measures import Figures, Plan
from benchmarks.engines.report import CONTINUOUS, GENERATE, LLAMACPP, MIXED, SERVER, TRANSFORMERS, goals, rows
from benchmarks.prompts import FRAME_TOKENS, PLAIN_FRAME_TOKENS, plain, sized, words
from benchmarks.report import Goal


def rates(one: float, eight: float) -> Figures:
    return Figures(rates={1: one, 8: eight})


FOUND = {
    LLAMACPP: [Figures({32: 0.1}, {1: 96.0, 8: 200.0}, 0.2, 0.25, 0.01), Figures({32: 0.3}, {1: 50.0, 8: 100.0})],
    SERVER: [rates(100.0, 250.0), rates(50.0, 100.0)],
    TRANSFORMERS: [rates(28.0, 90.0), rates(1.0, 1.0)],
    MIXED: [rates(30.0, 100.0)],
    f"{GENERATE}, bfloat16": [rates(20.0, 40.0)],
    f"{GENERATE}, float32": [rates(10.0, 80.0)],
    f"{CONTINUOUS}, bfloat16": [Figures(rates={8: 30.0})],
}


def by_name(found: list[Goal]) -> dict[str, Goal]:
    return {goal.name.removeprefix("m: "): goal for goal in found}


def test_rates_are_compared_round_by_round() -> None:
    found = by_name(goals("m", FOUND))
    assert found[f"{LLAMACPP} over {SERVER}, one stream"].value == pytest.approx((0.96 + 1.0) / 2)
    assert found[f"{LLAMACPP} over {SERVER}, one stream"].held
    assert found[f"{LLAMACPP} over {SERVER}, 8 streams"].value == pytest.approx((0.8 + 1.0) / 2)
    assert not found[f"{LLAMACPP} over {SERVER}, 8 streams"].held


def test_of_a_peer_in_several_types_the_faster_counts_and_only_the_rounds_that_it_ran_in() -> None:
    found = by_name(goals("m", FOUND))
    assert found[f"{TRANSFORMERS} over {GENERATE}, one stream"].value == pytest.approx(1.4)
    assert found[f"{TRANSFORMERS} over {GENERATE}, 8 streams"].value == pytest.approx(90 / 80)
    assert found[f"{TRANSFORMERS} over {CONTINUOUS}, 8 streams"].value == pytest.approx(3)


def test_a_goal_needs_both_sides() -> None:
    found = goals("m", {LLAMACPP: FOUND[LLAMACPP]})
    assert [goal.name for goal in found] == [
        f"m: {LLAMACPP}, first token of the second turn of 1,000 tokens over the first's"
    ]
    assert found[0].held


def test_a_row_has_the_medians_of_what_was_measured() -> None:
    table = {row["way"]: row for row in rows("m", FOUND, Plan(prefills=(32,), streams=(1, 8)))}
    ours = table[LLAMACPP]
    assert (ours["prefill 32 s"], ours["tokens/s, 1"], ours["rounds"]) == (0.2, 73.0, 2)
    assert (ours["second turn ×"], ours["idle CPU"]) == (0.25, 0.01)
    assert table[f"{CONTINUOUS}, bfloat16"]["tokens/s, 1"] is None
    assert len({tuple(row) for row in table.values()}) == 1


def test_prompts_of_two_seeds_begin_differently_and_have_their_length() -> None:
    assert sized(512, 1) == sized(512, 1)
    first, second = (sized(512, seed)[0]["content"].split() for seed in (1, 2))
    assert first[:8] != second[:8]
    assert len(first) == 512 - FRAME_TOKENS == len(words(512 - FRAME_TOKENS, 1).split())
    with pytest.raises(ValueError, match="more than 20 tokens"):
        sized(FRAME_TOKENS, 1)


def test_plain_questions_have_no_system_message_and_differ_by_their_words() -> None:
    [first], [second] = (plain(37, seed) for seed in (1, 2))
    assert first["role"] == "user"
    assert first != second
    assert len(first["content"].split()) == 37 - PLAIN_FRAME_TOKENS
    with pytest.raises(ValueError, match="more than 30 tokens"):
        plain(PLAIN_FRAME_TOKENS, 1)
