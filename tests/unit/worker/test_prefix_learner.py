from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quickthaw_platform.worker.beginning import common_prefix
from quickthaw_platform.worker.overhearing import Sampler, overheard
from quickthaw_platform.worker.prefix_learner import (
    KEPT_PROMPTS,
    LEAST_PROMPTS,
    MOST_TOKENS,
    PrefixLearner,
    most_shared,
    sample_of,
    tokens_of,
)

SYSTEM = tuple(range(1000, 1100))
OTHER = tuple(range(70_000, 70_050))


def teach(learner: PrefixLearner, *beginnings: tuple[int, ...]) -> list[bool]:
    return [learner.add(sample_of((*beginning, 10_000_000 + n))) for n, beginning in enumerate(beginnings)]


def test_what_all_prompts_begin_with_is_learnt_from_the_eighth_on() -> None:
    learner = PrefixLearner()
    assert teach(learner, *[SYSTEM] * LEAST_PROMPTS) == [False] * (LEAST_PROMPTS - 1) + [True]
    assert learner.tokens == SYSTEM


def test_half_of_the_prompts_are_enough_and_fewer_are_not() -> None:
    learner = PrefixLearner()
    assert any(teach(learner, *[SYSTEM, (1,)] * 4))
    assert learner.tokens == SYSTEM
    assert not any(teach(PrefixLearner(), *[SYSTEM] * 3, *[(n,) for n in range(5)]))


def test_a_short_beginning_is_not_worth_it() -> None:
    assert not any(teach(PrefixLearner(), *[SYSTEM[:31]] * 8))
    assert any(teach(PrefixLearner(), *[SYSTEM[:32]] * 8))


def test_a_beginning_that_hardly_differs_is_no_news_and_another_is() -> None:
    learner = PrefixLearner()
    teach(learner, *[SYSTEM] * 8)
    assert not any(teach(learner, *[SYSTEM[:90]] * 64))
    assert learner.tokens == SYSTEM
    assert any(teach(learner, *[OTHER] * 64))
    assert learner.tokens == OTHER


def test_old_prompts_are_forgotten() -> None:
    learner = PrefixLearner()
    teach(learner, *[SYSTEM] * KEPT_PROMPTS, *[OTHER] * KEPT_PROMPTS)
    assert learner.tokens == OTHER


def test_of_a_long_prompt_only_the_beginning_is_kept() -> None:
    assert tokens_of(sample_of(range(2 * MOST_TOKENS))) == tuple(range(MOST_TOKENS))


prompts = st.lists(st.lists(st.integers(0, 300), max_size=6).map(tuple), min_size=1, max_size=12)


@given(prompts)
def test_the_beginning_found_is_shared_by_half_and_no_longer_one_is(found: list[tuple[int, ...]]) -> None:
    best = tokens_of(most_shared(sorted(map(sample_of, found))))
    half = (len(found) + 1) / 2 if len(found) % 2 else len(found) / 2
    sharing = [prompt for prompt in found if prompt[: len(best)] == best]
    assert len(sharing) >= half
    for prompt in found:
        for length in range(len(best) + 1, len(prompt) + 1):
            assert sum(other[:length] == prompt[:length] for other in found) < half


@given(st.lists(st.integers(0, 2**32 - 1), max_size=20))
def test_samples_keep_the_tokens(tokens: list[int]) -> None:
    assert tokens_of(sample_of(tokens)) == tuple(tokens)
    assert common_prefix([tokens]) == tuple(tokens)


def test_at_most_one_prompt_a_second_is_heard() -> None:
    now, heard = [0.0], list[bytes]()
    sampler = Sampler(heard.append, lambda: now[0])
    for at in (0.0, 0.5, 0.99, 1.0, 1.5, 5.0):
        now[0] = at
        sampler.hear((int(at * 100),))
    assert [tokens_of(sample) for sample in heard] == [(0,), (100,), (500,)]


@pytest.mark.parametrize(("generated", "choice", "told"), [(0, 0, True), (1, 0, False), (0, 1, False)])
def test_each_new_prompt_is_told_of_once_and_submitted(generated: int, choice: int, told: bool) -> None:
    from quickthaw.generation import Sampling
    from quickthaw_backends.engines.echo_engine import EchoEngine
    from quickthaw_platform.contracts import GenerationRequest

    heard: list[tuple[int, ...]] = []
    engine = overheard(EchoEngine(), lambda tokens: heard.append(tuple(tokens)))
    engine.start("cpu", 1, 1000)
    request = GenerationRequest("r", (1, 2), Sampling(seed=1), generated, choice)
    engine.submit(request, lambda _delta: None)
    assert engine.stats().running <= 1
    engine.close()
    assert heard == ([(1, 2)] if told else [])
