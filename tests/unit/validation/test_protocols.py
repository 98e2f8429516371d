"""How texts become windows, and which tokens are scored in them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quickthaw.errors import InvalidRequest
from quickthaw_platform.validation.protocols import Window, disjoint, rolling, second_halves, sliding


def test_sliding_windows_score_what_is_new_in_each_and_count_one_token_fewer() -> None:
    assert sliding(range(10), 6, 3) == [
        Window((0, 1, 2, 3, 4, 5), first=1, counted=5),
        Window((3, 4, 5, 6, 7, 8), first=3, counted=2),
        Window((6, 7, 8, 9), first=3, counted=0),
    ]


def test_a_text_that_fits_is_one_window_of_any_stride() -> None:
    assert sliding(range(5), 8, 3) == [Window((0, 1, 2, 3, 4), first=1, counted=4)]


def test_a_last_window_of_one_token_without_context_scores_nothing_and_is_left_out() -> None:
    assert [window.tokens for window in sliding(range(5), 4, 4)] == [(0, 1, 2, 3)]


def test_disjoint_windows_drop_what_is_left() -> None:
    assert disjoint(range(11), 5) == [Window((0, 1, 2, 3, 4), 1, 4), Window((5, 6, 7, 8, 9), 1, 4)]


def test_second_halves_are_scored_behind_a_beginning_token_in_the_first_ones_place() -> None:
    (first, second) = second_halves(range(10, 21), 5, bos=1)
    assert first == Window((1, 11, 12, 13, 14), first=3, counted=2)
    assert second == Window((1, 16, 17, 18, 19), first=3, counted=2)
    assert second_halves(range(10), 5, bos=None)[1].tokens == (5, 6, 7, 8, 9)


def test_rolling_windows_begin_with_the_prefix_and_the_last_one_reaches_back() -> None:
    assert rolling(range(7), 3, prefix=99, document=4) == [
        Window((99, 0, 1, 2), first=1, counted=3, document=4),
        Window((2, 3, 4, 5), first=1, counted=3, document=4),
        Window((3, 4, 5, 6), first=3, counted=1, document=4),
    ]


def test_rolling_scores_a_single_token_and_has_no_window_for_an_empty_document() -> None:
    assert rolling([5], 8, prefix=0) == [Window((0, 5), first=1, counted=1)]
    assert rolling([], 8, prefix=0) == []


@given(st.integers(2, 200), st.integers(2, 32), st.data())
def test_sliding_scores_every_token_but_the_first_once(count: int, window: int, data: st.DataObject) -> None:
    stride = data.draw(st.integers(1, window))
    scored = [token for one in sliding(range(count), window, stride) for token in one.tokens[one.first :]]
    lost = set(range(window, count, window)) if stride == window else set()
    assert scored == [token for token in range(1, count) if token not in lost]


@given(st.integers(1, 200), st.integers(2, 32))
def test_rolling_scores_every_token_once_and_sees_one_more_than_a_window_at_most(count: int, window: int) -> None:
    found = rolling(range(count), window, prefix=-1)
    assert [token for one in found for token in one.tokens[one.first :]] == list(range(count))
    assert max(len(one.tokens) for one in found) <= window + 1


@pytest.mark.parametrize(
    ("cut", "said"),
    [
        (lambda: sliding([7], 8, 4), "the text has 1 token: hf"),  # nothing predicts it
        (lambda: sliding([], 8, 4), "the text has 0 tokens"),
        (lambda: disjoint(range(4), 5), "one whole window of 5"),
        (lambda: second_halves(range(9), 5, None), "two windows of 5"),
        (lambda: sliding(range(9), 4, 5), "a stride of 5 does not suit a window of 4"),
    ],
    ids=["one token", "no token", "short for gptq", "short for llamacpp", "long stride"],
)
def test_what_cannot_be_cut_is_refused_with_what_to_do(cut: Callable[[], list[Window]], said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        cut()
