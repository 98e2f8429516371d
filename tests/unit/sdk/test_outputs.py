"""The result that outputs make."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from quickthaw import Delta, ToolCallDelta
from quickthaw.outputs import joined, returned


@dataclass
class Point:
    x: int


CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
MESSAGE = {"role": "assistant", "content": "a", "tool_calls": [CALL]}


@pytest.mark.parametrize(
    ("outputs", "expected"),
    [
        ([], ""),
        ([Delta("a"), "b", Delta("c")], "abc"),
        ([1, {"a": 2}], [1, {"a": 2}]),
        (["a", 1], ["a", 1]),
        ([Point(1), "a"], [{"x": 1}, "a"]),
        ([Delta("a", (1,)), 1], ["a", 1]),
        ([Delta("a"), Delta(tool_calls=(ToolCallDelta(0, "1", "f", "{}"),))], MESSAGE),
        ([Delta("a"), Delta("x", choice=1), Delta("b"), Delta("y", choice=1)], ["ab", "xy"]),
    ],
)
def test_text_is_joined_and_anything_else_is_a_list(outputs: list[Any], expected: Any) -> None:
    assert joined(outputs) == expected


@pytest.mark.parametrize(
    ("value", "expected"), [(Delta("a"), "a"), (Point(1), {"x": 1}), ((1, 2), [1, 2]), (None, None)]
)
def test_what_a_handler_returns_is_a_result_too(value: Any, expected: Any) -> None:
    assert returned(value) == expected
