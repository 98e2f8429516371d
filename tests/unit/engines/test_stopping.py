from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quickthaw_backends.engines.marks import Sign
from quickthaw_backends.engines.stopping import StopMatcher

TEXTS = st.text("abc", max_size=30)
STOPS = st.lists(st.text("abc", min_size=1, max_size=5), max_size=4)


def run(stops: list[str], pieces: list[str]) -> tuple[str, bool]:
    matcher = StopMatcher(stops)
    passed = "".join(matcher.push(piece) for piece in pieces)
    return passed + matcher.flush(), matcher.stopped


@given(STOPS, TEXTS, st.lists(st.integers(0, 30), max_size=8))
def test_what_is_passed_on_does_not_depend_on_the_pieces(stops: list[str], text: str, cuts: list[int]) -> None:
    borders = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [text[begin:end] for begin, end in pairwise(borders)]
    assert run(stops, pieces) == run(stops, [text]) == run(stops, list(text))


@given(STOPS, TEXTS)
def test_no_stop_string_is_passed_on_and_nothing_else_is_lost(stops: list[str], text: str) -> None:
    passed, stopped = run(stops, list(text))
    assert not any(stop in passed for stop in stops)
    assert text.startswith(passed)
    assert stopped == any(stop in text for stop in stops)
    assert stopped or passed == text


@pytest.mark.parametrize(
    ("stops", "pieces", "passed"),
    [
        (["END"], ["abE", "N", "Dc"], ["ab", "", ""]),  # across three pieces
        (["END"], ["abE", "x"], ["ab", "Ex"]),  # looked like one, was none
        (["ab", "abc"], ["xabc"], ["x"]),  # the one that is complete first
        (["bc", "abc"], ["xabc"], ["x"]),  # complete together: the one that began first
        (["aab"], ["aaab"], ["a"]),  # a beginning inside a beginning
        ([], ["any", "thing"], ["any", "thing"]),  # none to look for
    ],
)
def test_cases(stops: list[str], pieces: list[str], passed: list[str]) -> None:
    matcher = StopMatcher(stops)
    assert [matcher.push(piece) for piece in pieces] == passed


def test_it_tells_which_stop_string_ended_the_text() -> None:
    matcher = StopMatcher(["END", "STOP"])
    assert [matcher.push(piece) for piece in ("a S", "TO", "P b END")] == ["a ", "", ""]
    assert matcher.matched == "STOP"
    assert StopMatcher(["END"]).matched is None


def test_a_stop_string_that_is_to_be_shown_is_passed_on_with_what_was_before_it() -> None:
    matcher = StopMatcher(["END"], include=True)
    assert [matcher.push(text) for text in ("a", "bE", "ND more")] == ["a", "b", "END"]
    assert matcher.stopped


@pytest.mark.parametrize(
    ("pieces", "passed", "stopped"),
    [
        ([("xEND", False), ("y", True)], "xENDy", False),  # complete too early
        ([("xEN", False), ("Dy", True)], "x", True),  # begun early, complete later
        ([("xENDE", False), ("NDy", True)], "xEND", True),  # the second one counts
    ],
)
def test_text_that_may_not_stop_holds_no_stop_string_though_one_may_begin_in_it(
    pieces: list[tuple[str, bool]], passed: str, stopped: bool
) -> None:
    matcher = StopMatcher(["END"])
    assert "".join(matcher.push(text, may_stop=may_stop) for text, may_stop in pieces) == passed
    assert matcher.stopped is stopped


HIDDEN = Sign("\ud800", "<end>", shown=False)
SHOWN = Sign("\ud801", "<call>", shown=True)


@pytest.mark.parametrize(
    ("stops", "pieces", "passed", "matched"),
    [
        (["<end>"], ["a", "\ud800", "b"], ["a", "", ""], "<end>"),  # a token and nothing else
        (["b<end>"], ["ab", "\ud800"], ["a", ""], "b<end>"),  # text before the token
        (["<end>\n"], ["a\ud800", "\n"], ["a", ""], "<end>\n"),  # text after it
        (["<end><end>"], ["a\ud800", "\ud800"], ["a", ""], "<end><end>"),  # twice
        (["<end>x"], ["a\ud800", "bc"], ["a", "bc"], None),  # looked like one, was none: a token stays hidden
        (["<end>x"], ["a\ud800"], ["a"], None),  # and where the text ends too
        (["<end>"], ["a<en", "d>b"], ["a", ""], "<end>"),  # said letter by letter
        (["<end>", "<"], ["a\ud800b", "<"], ["a", ""], "<end>"),  # a part of a token's text is not said by it
        (["<call>x"], ["a\ud801", "y"], ["a", "<call>y"], None),  # a token that answers show
        (["x<end>", "<end>"], ["x\ud800"], [""], "x<end>"),  # complete together: the one that began first
    ],
)
def test_stop_strings_with_special_tokens(
    stops: list[str], pieces: list[str], passed: list[str], matched: str | None
) -> None:
    matcher = StopMatcher(stops, signs=[HIDDEN, SHOWN])
    assert [matcher.push(piece) for piece in pieces] == passed
    assert matcher.matched == matched
    assert matcher.stopped or not matcher.flush()


def test_a_stop_string_with_a_special_token_is_shown_as_it_was_asked_for() -> None:
    matcher = StopMatcher(["b<end>c"], include=True, signs=[HIDDEN, SHOWN])
    assert [matcher.push(piece) for piece in ("ab", "\ud800", "cd")] == ["a", "", "b<end>c"]
