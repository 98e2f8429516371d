"""From what handlers put out to chunks and results."""

from __future__ import annotations

from typing import Any

import pytest

from quickthaw.errors import HandlerFailed
from quickthaw.generation import Delta
from quickthaw_platform.worker.output import Collector


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
    ],
)
def test_the_result_is_text_where_all_was_text_else_the_values(items: tuple[Any, ...], result: Any) -> None:
    assert collected(*items) == result


def test_chunks_carry_deltas_and_values_as_json_reads_them() -> None:
    collector = Collector(1 << 20)
    assert collector.chunk(Delta("a", (1,))) == {"delta": {"text": "a", "tokens": [1]}}
    assert collector.chunk({1: (2, 3)}) == {"value": {"1": [2, 3]}}


@pytest.mark.parametrize("value", [{1, 2}, float("nan"), object(), b"bytes", "\ud800"])
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


@pytest.mark.parametrize("item", ["x" * 60, Delta("x" * 60), ["x" * 60]])
def test_output_is_bounded_over_all_chunks(item: Any) -> None:
    collector = Collector(100)
    collector.chunk(item)
    with pytest.raises(HandlerFailed, match="max_output"):
        collector.chunk(item)
