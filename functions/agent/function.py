"""Answers questions with the help of two tools: a calculator, and a converter of units."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal

from pydantic import Field

import quickthaw

app = quickthaw.App("agent")

Number = int | float
Expression = Annotated[str, Field(pattern=r"^[0-9.+\-*/%() ]{1,60}$")]
"""No other sign is let through: so a small model writes something that can be calculated, too."""

Unit = Literal["m", "km", "ft", "mi", "g", "kg", "oz", "lb", "C", "F", "K"]

MAX_BITS = 4096
"""Of a whole number on the way: a few characters can ask for more than any memory holds."""

OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}
UNITS: dict[str, tuple[str, float, float]] = {  # what it measures; a value times this, plus that, is in the base unit
    "m": ("length", 1.0, 0.0),
    "km": ("length", 1000.0, 0.0),
    "ft": ("length", 0.3048, 0.0),
    "mi": ("length", 1609.344, 0.0),
    "g": ("mass", 0.001, 0.0),
    "kg": ("mass", 1.0, 0.0),
    "oz": ("mass", 0.028349523125, 0.0),
    "lb": ("mass", 0.45359237, 0.0),
    "K": ("temperature", 1.0, 0.0),
    "C": ("temperature", 1.0, 273.15),
    "F": ("temperature", 5 / 9, 459.67 * 5 / 9),
}


def calculate(expression: Expression) -> Number:
    """Calculate an arithmetic expression.

    Args:
        expression: numbers, + - * / // % ** and parentheses, for example (3 + 4) * 2
    """
    return value_of(ast.parse(expression.strip(), mode="eval").body)


def convert(value: float, from_unit: Unit, to_unit: Unit) -> float:
    """Convert a length, a mass or a temperature from one unit to another.

    Args:
        value: how many of `from_unit`
        from_unit: what it is in
        to_unit: what it is to be in
    """
    (measured, scale, offset), (wanted, to_scale, to_offset) = UNITS[from_unit], UNITS[to_unit]
    if measured != wanted:
        raise ValueError(f"{from_unit} measures {measured}, and {to_unit} {wanted}")
    return round((value * scale + offset - to_offset) / to_scale, 6)


def value_of(node: ast.expr) -> Number:
    """Return what a node of an expression comes to; nothing but numbers and OPERATORS is looked at."""
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            return number
        case ast.UnaryOp(op=op, operand=operand) if type(op) in OPERATORS:
            return checked(OPERATORS[type(op)](value_of(operand)))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS:
            first, second = value_of(left), value_of(right)
            if isinstance(op, ast.Pow) and isinstance(first, int) and first.bit_length() * abs(second) > MAX_BITS:
                raise ValueError("the result is too large")
            return checked(OPERATORS[type(op)](first, second))
    raise ValueError(f"only numbers and + - * / // % ** are calculated, not {ast.unparse(node)}")


def checked(value: Any) -> Number:
    """Return a number that the calculation may go on with."""
    if isinstance(value, complex):
        raise ValueError("the result is not a real number")
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        raise ValueError("the result is too large")
    return value  # type: ignore[no-any-return]  # what is left of OPERATORS' results


@app.function(model="smollm2-135m-instruct")
def agent(
    model: quickthaw.Model,
    messages: list[dict[str, Any]],
    max_tokens: int = 256,
    rounds: int = 6,
    must_call: bool = False,
    show_calls: bool = False,
) -> Iterator[quickthaw.Delta]:
    """Answer a conversation, calling tools on the way: at most `rounds` times the model is asked.

    With `must_call` it begins with a call, valid also where a small model would not think of one.
    """
    yield from quickthaw.tools.run(
        model,
        messages,
        [calculate, convert],
        rounds=rounds,
        tool_choice="required" if must_call else "auto",
        show_calls=show_calls,
        max_tokens=max_tokens,
    )
