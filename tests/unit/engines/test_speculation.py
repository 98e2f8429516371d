from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from quickthaw_backends.engines.batching.speculation import (
    FIRST_REST_TOKENS,
    LONGEST_REST_TOKENS,
    MOST_GUESSED_TOKENS,
    Guesser,
)

PHRASE = [1, 2, 3, 4, 5, 6, 7, 8, 9]


def test_what_followed_the_last_three_tokens_earlier_is_guessed() -> None:
    assert Guesser().guess([*PHRASE, 20, 3, 4, 5], 4) == (6,)


def test_nothing_is_guessed_where_the_last_tokens_are_new() -> None:
    assert Guesser().guess(PHRASE, 4) == ()
    assert Guesser().guess([1, 2], 4) == ()


def test_right_guesses_grow_and_stop_at_the_most() -> None:
    guesser, tokens = Guesser(), [*PHRASE, 20, 1, 2, 3]
    lengths = []
    for _ in range(5):
        guess = guesser.guess(tokens, 9)
        lengths.append(len(guess))
        guesser.judge(len(guess), len(guess))
        tokens = [*tokens, 21, 1, 2, 3]
    assert lengths[:2] == [1, 2]
    assert max(lengths) == MOST_GUESSED_TOKENS


def test_after_a_wrong_guess_it_rests_longer_each_time() -> None:
    guesser, tokens = Guesser(), [5, 5, 5, 5]
    rests: list[int] = []
    while len(rests) < 10:
        began = len(tokens)
        while not guesser.guess(tokens, 4):
            tokens.append(5)
        rests.append(len(tokens) - began)
        guesser.judge(1, 0)
    assert rests[1] == FIRST_REST_TOKENS
    assert rests[1:4] == [FIRST_REST_TOKENS, 2 * FIRST_REST_TOKENS, 4 * FIRST_REST_TOKENS]
    assert max(rests) == LONGEST_REST_TOKENS


@given(st.lists(st.integers(0, 3), max_size=60), st.integers(1, 6))
def test_a_guess_always_stands_in_the_text_after_the_same_three_tokens(tokens: list[int], most: int) -> None:
    guesser = Guesser()
    for end in range(len(tokens) + 1):
        guess = guesser.guess(tokens[:end], most)
        assert len(guess) <= most
        if guess:
            wanted = [*tokens[end - 3 : end], *guess]
            places = range(end - 3)
            assert any(tokens[place : place + len(wanted)] == wanted for place in places)
