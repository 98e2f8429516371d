from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from quickthaw_backends.engines.batching.speculation import (
    FIRST_CHANCE,
    MOST_GUESSED_TOKENS,
    Guess,
    Guesser,
    worthwhile,
)
from quickthaw_backends.engines.batching.step_times import StepTimes

PHRASE = [1, 2, 3, 4, 5, 6, 7, 8, 9]


def times(**seconds_of: float) -> StepTimes:
    """Return what `t1=…, t5=…` have shown: seconds by tokens of a step."""
    found = StepTimes()
    for tokens, seconds in seconds_of.items():
        found.note(int(tokens[1:]), seconds)
    return found


BOUND_BY_MEMORY = times(t1=0.0155, t5=0.0183, t8=0.0214, t12=0.025)
"""The engine transformers with SmolLM2 in bfloat16 on two cores of a Zen 4."""

BOUND_BY_ARITHMETIC = times(t1=0.0073, t2=0.0151, t5=0.027, t8=0.0386, t16=0.077, t24=0.111)
"""The engine llamacpp with the same model in Q4_1 on the same cores."""


def test_what_followed_the_last_three_tokens_earlier_is_guessed() -> None:
    assert Guesser().guess([*PHRASE, 20, 3, 4, 5], 2).tokens == (6, 7)


def test_nothing_is_guessed_where_the_last_tokens_are_new() -> None:
    assert Guesser().guess(PHRASE, 4).tokens == ()
    assert Guesser().guess([1, 2], 4).tokens == ()


def test_a_guess_has_a_few_tokens_at_most() -> None:
    assert Guesser().guess([*PHRASE, 20, 1, 2, 3], 9).tokens == (4, 5, 6, 7)
    assert MOST_GUESSED_TOKENS == 4


def test_the_chance_follows_what_came_after_guesses_whether_they_were_computed_or_not() -> None:
    def chance(comes: Callable[[int], int]) -> float:
        guesser, tokens = Guesser(), [*PHRASE, 20, 1, 2, 3]
        for number in range(30):
            guesser.guess(tokens, 0)
            tokens = [*tokens, comes(number), 1, 2, 3]
        return guesser.guess(tokens, 0).chance

    assert chance(lambda number: 4) > 0.9
    assert chance(lambda number: 100 + number) < 0.1


def test_of_a_guess_nothing_is_learnt_behind_its_first_wrong_token() -> None:
    guesser = Guesser()
    guesser.guess([*PHRASE, 20, 1, 2, 3], 4)
    assert guesser.guess([*PHRASE, 20, 1, 2, 3, 50, 5, 6], 4).chance == FIRST_CHANCE * 0.9


def test_where_more_tokens_take_hardly_longer_even_doubtful_guesses_are_computed() -> None:
    assert worthwhile([Guess((1, 2, 3, 4), 0.5)], BOUND_BY_MEMORY) == [3]
    assert worthwhile([Guess((1, 2, 3, 4), 0.12)], BOUND_BY_MEMORY) == [1]
    assert worthwhile([Guess((1, 2, 3, 4), 0.02)], BOUND_BY_MEMORY) == [0]


def test_where_each_token_takes_its_time_only_sure_guesses_are_computed_and_only_for_one_request() -> None:
    assert worthwhile([Guess((1, 2, 3, 4), 0.5)], BOUND_BY_ARITHMETIC) == [0]
    assert worthwhile([Guess((1, 2, 3, 4), 0.95)], BOUND_BY_ARITHMETIC) == [4]
    assert worthwhile([Guess((1,), 1.0)], BOUND_BY_ARITHMETIC) == [0]
    assert worthwhile([Guess((1, 2), 1.0)] * 8, BOUND_BY_ARITHMETIC) == [0] * 8


def test_who_guesses_nothing_waits_a_quarter_longer_at_most_for_those_who_do() -> None:
    sure = Guess((1, 2, 3, 4), 1.0)
    assert worthwhile([sure, sure, sure, sure], BOUND_BY_MEMORY) == [4, 4, 4, 4]
    among_others = worthwhile([sure, sure, Guess(), Guess()], times(t4=0.0178, t8=0.0205, t12=0.025))
    assert among_others == [2, 2, 0, 0]


def test_without_guesses_first_so_that_it_is_known_how_long_that_takes() -> None:
    guess = Guess((1, 2, 3, 4), 0.9)
    assert worthwhile([guess], StepTimes()) == [0]
    assert worthwhile([guess], times(t5=0.01)) == [0]
    assert worthwhile([guess], times(t1=0.01)) == [4]
    assert worthwhile([], times(t1=0.01)) == []


@given(
    st.lists(st.tuples(st.integers(0, 4), st.floats(0, 1)), min_size=1, max_size=8),
    st.dictionaries(st.integers(1, 40), st.floats(0.001, 1.0)),
)
def test_no_more_is_computed_than_was_guessed(guesses: list[tuple[int, float]], seconds: dict[int, float]) -> None:
    offered = [Guess(tuple(range(length)), chance) for length, chance in guesses]
    known = times(**{f"t{tokens}": one for tokens, one in seconds.items()})
    for length, guess in zip(worthwhile(offered, known), offered, strict=True):
        assert 0 <= length <= len(guess.tokens)


@given(st.lists(st.integers(0, 3), max_size=60), st.integers(1, 6))
def test_a_guess_always_stands_in_the_text_after_the_same_three_tokens(tokens: list[int], most: int) -> None:
    guesser = Guesser()
    for end in range(len(tokens) + 1):
        guess = guesser.guess(tokens[:end], most).tokens
        assert len(guess) <= most
        if guess:
            wanted = [*tokens[end - 3 : end], *guess]
            places = range(end - 3)
            assert any(tokens[place : place + len(wanted)] == wanted for place in places)
