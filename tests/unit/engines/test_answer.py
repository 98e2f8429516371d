from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quickthaw.errors import ContextLengthExceeded
from quickthaw_backends.engines.answer import Answer, answer_limit
from tests.unit.engines.tiny import request

EOS = frozenset({256})


def decode(tokens: Sequence[int]) -> str:
    return bytes(token for token in tokens if token < 256).decode("utf-8", errors="replace")


def answer(prompt: Sequence[int] = (65,), limit: int = 50, **fields: Any) -> Answer:
    return Answer(request(prompt, **fields), decode, EOS, limit)


def test_eos_is_a_token_without_text() -> None:
    growing = answer()
    growing.push(72)
    delta = growing.push(256)
    assert (delta.tokens, delta.text, delta.finish_reason) == ((256,), "", "stop")


def test_ignored_eos_does_not_end() -> None:
    growing = answer(ignore_eos=True)
    assert growing.push(256).finish_reason is None


def test_held_text_comes_out_at_the_end_when_it_was_no_stop_string() -> None:
    growing = answer(limit=2, stop=["xyz"])
    assert growing.push(ord("x")).text == ""
    last = growing.push(ord("y"))
    assert (last.text, last.finish_reason) == ("xy", "length")


def test_a_stop_string_wins_over_the_limit() -> None:
    growing = answer(limit=2, stop=["xy"])
    growing.push(ord("x"))
    last = growing.push(ord("y"))
    assert (last.text, last.finish_reason) == ("", "stop")


@given(
    st.text(min_size=2, max_size=20), st.integers(1, 40), st.lists(st.text("abc", min_size=1, max_size=3), max_size=2)
)
def test_replayed_tokens_leave_the_same_state(text: str, cut: int, stop: list[str]) -> None:
    tokens = list(text.encode())
    cut = min(cut, len(tokens) - 1)
    whole = answer(limit=len(tokens), stop=stop)
    deltas = []
    for token in tokens:
        deltas.append(whole.push(token))
        if whole.finish_reason:
            break
    if len(deltas) <= cut:
        return
    resumed = Answer(request([65, *tokens[:cut]], generated=cut, stop=stop), decode, EOS, len(tokens))
    rest = [resumed.push(token) for token in tokens[cut : len(deltas)]]
    assert [delta.text for delta in rest] == [delta.text for delta in deltas[cut:]]
    assert resumed.finish_reason == whole.finish_reason


def test_an_answer_that_had_ended_is_not_continued() -> None:
    assert Answer(request([65, 66, 67], generated=2), decode, EOS, 2).finish_reason == "length"
    assert Answer(request([65, 66, 256], generated=2), decode, EOS, 9).finish_reason == "stop"


@pytest.mark.parametrize(
    ("prompt", "generated", "max_tokens", "limit"),
    [
        (10, 0, 5, 5),  # fits
        (10, 0, None, 90),  # as many as the context holds
        (10, 4, 5, 5),  # what was generated before counts as answer
        (100, 0, 0, 0),  # nothing to generate
    ],
)
def test_limits(prompt: int, generated: int, max_tokens: int | None, limit: int) -> None:
    tokens = [65] * (prompt + generated)
    assert answer_limit(request(tokens, generated=generated, max_tokens=max_tokens), 100) == limit


def test_the_error_names_the_numbers() -> None:
    with pytest.raises(ContextLengthExceeded, match=r"90 tokens and max_tokens 20.*100"):
        answer_limit(request([65] * 90, max_tokens=20), 100)


def test_the_last_delta_names_the_stop_string_that_ended_the_answer() -> None:
    growing = answer(stop=["CD", "X"])
    deltas = [growing.push(token) for token in b"ABCD"]
    assert [delta.stop for delta in deltas] == [None, None, None, "CD"]
    assert answer(stop=["X"]).push(256).stop is None
