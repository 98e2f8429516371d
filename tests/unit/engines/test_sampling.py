from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quickthaw.generation import Sampling
from quickthaw_backends.engines.batching.sampling import (
    Row,
    choose,
    draw,
    filtered,
    penalised,
    token_logprob,
)
from quickthaw_backends.engines.counter import uniform
from quickthaw_backends.engines.echo_tokenizer import EchoTokenizer

SCORES = np.array([2.0, 1.0, 0.5, 0.0, -1.0, -3.0], dtype=np.float32)


def sampling(**fields: Any) -> Sampling:
    return Sampling.model_validate({"seed": 11, **fields})


def kept(**fields: Any) -> list[int]:
    return [token for token, chance in enumerate(filtered(SCORES, sampling(**fields))) if chance]


def softmax(scores: Row) -> Row:
    powers = np.exp(scores - scores.max())
    found: Row = powers / powers.sum()
    return found


def test_uniform_numbers_are_uniform_and_depend_on_seed_and_position() -> None:
    numbers = [uniform(1, position) for position in range(20_000)]
    assert sum(numbers) / len(numbers) == pytest.approx(0.5, abs=0.01)
    counts, _edges = np.histogram(numbers, 10, (0, 1))
    assert float(((counts - 2000) ** 2 / 2000).sum()) < 27.9  # chi-square, 9 degrees of freedom, 99.9%
    assert uniform(1, 5) != uniform(2, 5)
    assert uniform(-1, 5) == uniform(2**64 - 1, 5)
    assert uniform(7, 3) == 0.9428997130665919  # fixed for ever: a change breaks the resume of running streams


def test_tokens_come_as_often_as_their_probabilities_say() -> None:
    settings = sampling(temperature=0.8)
    expected = softmax(SCORES / np.float32(0.8)) * 10_000
    drawn = [choose(SCORES, settings, position, [], []) for position in range(10_000)]
    counts = np.bincount(drawn, minlength=6)
    assert float(((counts - expected) ** 2 / expected).sum()) < 20.5  # chi-square, 5 degrees of freedom, 99.9%


@pytest.mark.parametrize(
    ("fields", "tokens"),
    [
        ({}, [0, 1, 2, 3, 4, 5]),  # all
        ({"top_k": 2}, [0, 1]),
        ({"top_k": 100}, [0, 1, 2, 3, 4, 5]),  # more than there are
        ({"top_p": 0.5}, [0]),  # the first alone reaches it
        ({"top_p": 0.8}, [0, 1, 2]),  # 0.57 + 0.21 + 0.13
        ({"top_p": 1e-9}, [0]),  # at least one
        ({"min_p": 0.2}, [0, 1, 2]),  # of the likeliest they have 1, 0.37, 0.22
        ({"temperature": 2, "top_p": 0.5}, [0, 1]),  # flatter: two are needed
        ({"top_k": 3, "top_p": 0.7}, [0, 1]),  # top-p over what top-k left
    ],
)
def test_filters(fields: dict[str, Any], tokens: list[int]) -> None:
    assert kept(**fields) == tokens


@given(st.integers(0, 10_000), st.floats(0.05, 1), st.integers(0, 2000))
def test_top_p_keeps_the_smallest_set_that_reaches_it(seed: int, top_p: float, size: int) -> None:
    scores = np.random.default_rng(seed).standard_normal(size + 2).astype(np.float32)
    whole = softmax(scores)
    keep = filtered(scores, sampling(top_p=top_p)) > 0
    reached = float(whole[keep].sum())
    assert reached >= top_p - 1e-4
    assert reached - float(whole[keep].min()) < top_p + 1e-4


@pytest.mark.parametrize(
    "fields",
    [
        {"top_p": 1e-300},  # 0 in float32
        {"top_p": 5e-324, "temperature": 2},
        {"min_p": 5e-324},
        {"repetition_penalty": 1e-310},  # 0 in float32 too, and scores are divided by it
        {"repetition_penalty": 1e-38, "temperature": 1.1e-5},  # no number of float32 holds the quotient
    ],
)
def test_numbers_that_float32_does_not_hold_leave_probabilities(fields: dict[str, Any]) -> None:
    scores = penalised(SCORES, sampling(**fields), prompt=[0], answer=[1])
    assert filtered(scores, sampling(**fields)).sum() == pytest.approx(1)
    assert choose(SCORES, sampling(**fields), 3, [0], [1]) in range(len(SCORES))


def test_a_temperature_of_zero_is_greedy_and_needs_no_seed() -> None:
    assert {choose(SCORES, sampling(temperature=0, seed=seed), 3, [], []) for seed in range(20)} == {0}
    assert choose(SCORES * np.float32(1e3), sampling(temperature=1e-8), 3, [], []) == 0


def test_repetition_penalty_divides_positive_and_multiplies_negative_scores() -> None:
    changed = penalised(SCORES, sampling(repetition_penalty=2), prompt=[0, 5], answer=[5])
    assert changed.tolist() == [1.0, 1.0, 0.5, 0.0, -1.0, -6.0]


def test_frequency_and_presence_count_the_answer_only() -> None:
    changed = penalised(SCORES, sampling(frequency_penalty=0.5, presence_penalty=1), prompt=[0, 0], answer=[1, 1, 2])
    assert changed.tolist() == [2.0, 1.0 - 2.0, 0.5 - 1.5, 0.0, -1.0, -3.0]


def test_penalties_leave_the_scores_of_others_and_the_row_itself_alone() -> None:
    before = SCORES.copy()
    penalised(SCORES, sampling(repetition_penalty=3, frequency_penalty=1), [0], [1])
    assert np.array_equal(SCORES, before)


@given(st.floats(0, 1, exclude_max=True), st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=1, max_size=9))
def test_a_token_of_probability_zero_is_never_drawn(number: float, weights: list[float]) -> None:
    probabilities = np.array([*weights, 1.0, 0.0], dtype=np.float32)
    assert probabilities[draw(probabilities / probabilities.sum(), number)] > 0


def test_logprobs_are_natural_logarithms_of_the_unchanged_distribution() -> None:
    entry = token_logprob(SCORES, 3, 2, EchoTokenizer())
    logs = np.log(softmax(SCORES)).tolist()
    assert entry.logprob == pytest.approx(logs[3])
    assert entry.top_tokens == (0, 1)
    assert [text for text, _ in entry.top] == ["\x00", "\x01"]
    assert math.exp(entry.top[0][1]) == pytest.approx(math.exp(logs[0]))
