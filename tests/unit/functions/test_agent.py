"""The ready-made agent: its two tools, and its loop with a model that calls both."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from quickthaw import Answer, Delta, Tool, ToolCallDelta, UnusableAnswer, loading

FILE = Path(__file__).parents[3] / "functions" / "agent" / "function.py"
MESSAGES = [{"role": "user", "content": "How many km are 2 * 13.1 mi?"}]


@pytest.fixture(scope="module")
def agent() -> Any:
    (function,) = loading.functions(FILE)
    return function


@pytest.fixture(scope="module")
def module(agent: Any) -> ModuleType:
    return sys.modules[agent.handler.__module__]


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("1 + 2 * 3", 7),
        (" (1 + 2) * 3", 9),
        ("-7 // 2", -4),
        ("2 ** 0.5", 2**0.5),
        ("7 % 4 / 2", 1.5),
        ("10 ** 20", 10**20),
    ],
)
def test_the_calculator_calculates(module: ModuleType, expression: str, value: float) -> None:
    assert module.calculate(expression) == value


@pytest.mark.parametrize(
    ("expression", "error"),
    [
        ("__import__('os')", "should match pattern"),
        ("True + 1", "should match pattern"),
        ("(1, 2)", "should match pattern"),
        ("1 + " * 16 + "1", "should match pattern"),  # too long
        ("(*1)", "SyntaxError"),
        ("()", "only numbers"),
        ("9 ** 9 ** 9", "too large"),
        ("9 ** -9 ** 9", "too large"),
        ("(-8) ** 0.5", "not a real number"),
        ("1 / 0", "ZeroDivisionError"),
        ("1 +", "SyntaxError"),
        ("9.9 ** 999", "OverflowError"),
    ],
)
def test_the_calculator_looks_at_nothing_but_numbers_of_a_sensible_size(
    module: ModuleType, expression: str, error: str
) -> None:
    told = Tool.of(module.calculate).run(f'{{"expression": "{expression}"}}')
    assert told.startswith("error")
    assert error in told


@pytest.mark.parametrize(
    "expression", ["__import__('os')", "(1).real", "'a' * 9", "True + 1", "1 if 1 else 2", "x + 1"]
)
def test_it_looks_at_nothing_but_numbers_whoever_asks(module: ModuleType, expression: str) -> None:
    with pytest.raises(ValueError, match="only numbers"):
        module.calculate(expression)


def test_products_are_bounded_too(module: ModuleType) -> None:
    assert "too large" in Tool.of(module.calculate).run('{"expression": "9**999 * 9**999"}')


@pytest.mark.parametrize(
    ("value", "units", "expected"),
    [
        (26.2, ("mi", "km"), 42.164813),
        (0, ("C", "F"), 32),
        (-40, ("F", "C"), -40),
        (0, ("C", "K"), 273.15),
        (16, ("oz", "lb"), 1),
    ],
)
def test_the_converter_converts(module: ModuleType, value: float, units: tuple[str, str], expected: float) -> None:
    assert module.convert(value, *units) == pytest.approx(expected)


def test_the_converter_says_what_cannot_be(module: ModuleType) -> None:
    convert = Tool.of(module.convert)
    assert (
        convert.run('{"value": 1, "from_unit": "m", "to_unit": "kg"}')
        == "error: ValueError: m measures length, and kg mass"
    )
    assert "from_unit" in convert.run('{"value": 1, "from_unit": "ell", "to_unit": "m"}')


def call(name: str, arguments: str) -> list[Delta]:
    return [Delta(tool_calls=(ToolCallDelta(0, f"call_{name}", name, arguments),)), Delta(finish_reason="tool_calls")]


class Caller:
    """Calls both tools, one after the other, and says what the last one returned."""

    def __init__(self) -> None:
        self._script: list[Callable[[str], list[Delta]]] = [
            lambda _: call("calculate", '{"expression": "2 * 13.1"}'),
            lambda result: call("convert", f'{{"value": {result}, "from_unit": "mi", "to_unit": "km"}}'),
            lambda result: [Delta(result), Delta(" km", finish_reason="stop")],
        ]

    def chat(self, messages: list[dict[str, Any]], **fields: Any) -> Answer[Any]:
        return Answer(self._script.pop(0)(messages[-1]["content"]))


@pytest.mark.parametrize("show_calls", [False, True])
def test_it_calls_both_tools_and_streams_the_answer(agent: Any, show_calls: bool) -> None:
    deltas = list(agent(Caller(), MESSAGES, show_calls=show_calls))
    assert [delta.text for delta in deltas if delta.text] == ["42.164813", " km"]
    called = [piece.name for delta in deltas for piece in delta.tool_calls]
    assert called == (["calculate", "convert"] if show_calls else [])


def test_its_tools_are_bounded_in_rounds(agent: Any) -> None:
    with pytest.raises(UnusableAnswer, match="in round 2, the last"):
        list(agent(Caller(), MESSAGES, rounds=2))
