"""From what handlers put out to chunks and results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import BaseModel

from quickthaw.errors import HandlerFailed
from quickthaw.generation import Delta, ToolCallDelta
from quickthaw.outputs import returned
from quickthaw_platform.worker.output import Collector

CALL = Delta(tool_calls=(ToolCallDelta(0, "call_1", "add", "{}"),))
MESSAGE = {
    "role": "assistant",
    "content": "a",
    "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "add", "arguments": "{}"}}],
}


class City(BaseModel):
    name: str


@dataclass
class Point:
    x: int


def collected(*items: Any) -> Any:
    collector = Collector(1 << 20)
    for item in items:
        collector.chunk(item)
    return collector.result()


@pytest.mark.parametrize(
    ("items", "result"),
    [
        ((), ""),
        ((Delta("a"), Delta("b")), "ab"),
        (("a", Delta("b")), "ab"),
        ((1, "a"), [1, "a"]),
        ((Delta("a"), {"b": 1}), ["a", {"b": 1}]),  # mixed: the text of what was generated stays text
        ((Delta("a"), Delta("x", choice=1), Delta("b")), ["ab", "x"]),  # several answers
        ((None,), [None]),
        ((Delta(reasoning="Hm"), Delta("a")), "a"),  # a text stays a text
        ((Delta("a"), CALL), MESSAGE),
        ((Delta("a"), CALL, Delta("x", choice=1)), [MESSAGE, "x"]),
        ((1, CALL), [1, CALL.to_json()]),
        ((City(name="Bonn"), "x"), [{"name": "Bonn"}, "x"]),
    ],
)
def test_the_result_is_text_where_all_was_text_else_the_values(items: tuple[Any, ...], result: Any) -> None:
    assert collected(*items) == result


def test_chunks_carry_deltas_and_values_as_json_reads_them() -> None:
    collector = Collector(1 << 20)
    assert collector.chunk(Delta("a", (1,))) == {"delta": {"text": "a", "tokens": [1]}}
    assert collector.chunk({1: (2, 3)}) == {"value": {"1": [2, 3]}}


@pytest.mark.parametrize(
    ("value", "result"),
    [
        (Delta("a"), "a"),
        (CALL, {**MESSAGE, "content": None}),
        (City(name="Bonn"), {"name": "Bonn"}),
        ([Point(1), City(name="Bonn")], [{"x": 1}, {"name": "Bonn"}]),
    ],
)
def test_models_and_dataclasses_are_results(value: object, result: Any) -> None:
    assert Collector(1 << 10).returned(value) == result


@pytest.mark.parametrize("value", [{1, 2}, float("nan"), object(), b"bytes", "\ud800", City, Point])
def test_what_json_cannot_carry_is_the_handlers_failure(value: object) -> None:
    with pytest.raises(HandlerFailed, match="JSON"):
        Collector(100).chunk(value)
    with pytest.raises(HandlerFailed, match="JSON"):
        Collector(100).returned(value)


def test_a_value_that_contains_itself_is_the_handlers_failure() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(HandlerFailed):
        Collector(100).returned(loop)


def nested(depth: int) -> Any:
    return 1 if depth == 0 else [nested(depth - 1)] if depth % 2 else {"in": nested(depth - 1)}


@pytest.mark.parametrize(
    ("good", "bad", "told"),
    [
        (nested(200), nested(201), "more than 200 lists and objects within each other"),
        (2**64 - 1, 2**64, "18446744073709551616…, which does not fit into 64 bits"),
        ({"n": [-(2**63)]}, {"n": [-(2**63) - 1]}, "-9223372036854775809…, which does not fit"),
        ("9" * 30, 10**30, "does not fit into 64 bits"),  # digits of a text are no number
    ],
)
def test_what_no_answer_can_hold_is_refused_where_the_handler_puts_it_out(good: Any, bad: Any, told: str) -> None:
    for put_out in (Collector(1 << 20).chunk, Collector(1 << 20).returned, returned):
        assert put_out(good) == ({"value": good} if put_out.__name__ == "chunk" else good)
        with pytest.raises(HandlerFailed, match=told):
            put_out(bad)


LONG_CALL = Delta(tool_calls=(ToolCallDelta(0, arguments="x" * 4),))


@pytest.mark.parametrize("item", ["x" * 60, Delta("x" * 60), ["x" * 60], Delta(reasoning="x" * 60), LONG_CALL])
def test_output_is_bounded_over_all_chunks(item: Any) -> None:
    collector = Collector(100)
    collector.chunk(item)
    with pytest.raises(HandlerFailed, match="max_output"):
        collector.chunk(item)
