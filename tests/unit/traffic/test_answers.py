from __future__ import annotations

import json
from typing import Any

import pytest

from quickthaw_platform.traffic.answers import AnswerReader, said


def line(body: Any) -> bytes:
    return f"data: {body if isinstance(body, str) else json.dumps(body)}\n\n".encode()


def delta(**fields: Any) -> bytes:
    return line({"choices": [{"index": 0, "delta": fields}], "usage": None})


DONE = line("[DONE]")


def read(*pieces: bytes) -> AnswerReader:
    reader = AnswerReader()
    for number, piece in enumerate(pieces):
        reader.feed(piece, float(number))
    return reader


def test_outputs_are_timed_and_what_is_no_text_is_none() -> None:
    usage = line({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 2}})
    reader = read(
        b": hello\n\n", delta(role="assistant", content=""), delta(content="a"), delta(content="b"), usage, DONE
    )
    assert reader.outputs == [2.0, 3.0]
    assert reader.ended == 5.0
    assert (reader.prompt_tokens, reader.completion_tokens) == (7, 2)
    assert reader.verdict() is None


@pytest.mark.parametrize(
    "piece",
    [delta(reasoning_content="hm"), line({"choices": [{"text": "a"}]}), delta(tool_calls=[{"id": "1"}])],
)
def test_other_kinds_of_output_count_too(piece: bytes) -> None:
    assert read(piece).outputs == [0.0]


def test_an_event_counts_when_its_end_has_come() -> None:
    whole = delta(content="a")
    assert read(whole[:10], whole[10:-1], whole[-1:]).outputs == [2.0]


def test_events_that_come_together_have_the_same_time() -> None:
    assert read(delta(content="a") + delta(content="b") + DONE).outputs == [0.0, 0.0]


@pytest.mark.parametrize(
    ("pieces", "why"),
    [
        ([], "ended without [DONE]"),
        ([delta(content="a")], "ended without [DONE]"),
        ([DONE], "the answer is empty"),
        ([line({"error": {"message": "no memory"}}), DONE], "ended with an error: no memory"),
        ([line({"error": "overloaded"})], "ended with an error: overloaded"),
        ([line("{no"), DONE], "not JSON: '{no'"),
        ([line("[1]"), DONE], "not an object"),
    ],
)
def test_a_miss_says_why(pieces: list[bytes], why: str) -> None:
    assert why in (read(*pieces).verdict() or "")


def test_a_reason_for_its_end_makes_an_answer_whole_without_done() -> None:
    last = line({"choices": [{"delta": {}, "finish_reason": "stop"}]})
    assert read(delta(content="a"), last).verdict() is None
    assert read(delta(content="a"), line({"choices": [{"delta": {}, "finish_reason": None}]})).verdict() is not None


def test_what_comes_after_the_end_is_left() -> None:
    reader = read(delta(content="a"), DONE, delta(content="b"), line("{no"))
    assert reader.outputs == [0.0]
    assert reader.verdict() is None


@pytest.mark.parametrize("choices", [None, [None], [{}], [{"delta": None}], ["x"]])
def test_strange_choices_are_no_outputs(choices: Any) -> None:
    reader = read(line({"choices": choices, "usage": "much"}))
    assert reader.outputs == []
    assert reader.error is None


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"error": {"message": "a"}}, "a"),
        ({"error": "b"}, "b"),
        ({"message": "c"}, "c"),
        ({"detail": 1}, "{'detail': 1}"),
        ("d", "d"),
    ],
)
def test_an_error_is_found_however_it_is_wrapped(body: Any, message: str) -> None:
    assert said(body) == message
