"""Python functions as tools: how they are described, and how a model's call is carried out."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from quickthaw import InvalidRequest, Tool
from quickthaw.errors import HandlerDiverged
from quickthaw.tool import definitions


class Unit(Enum):
    KM = "km"
    MILE = "mi"


class Place(BaseModel):
    name: str


@dataclass
class Box:
    width: float


def distance(
    start: Place,
    end: Place | None = None,
    unit: Literal["km", "mi"] = "km",
    digits: Annotated[int, Field(ge=0, description="behind the point")] = 1,
) -> str:
    """Measure how far two places are apart.

    As the crow flies.

    Args:
        start: where to begin,
            by name
        end (Place, optional): where to end
        digits: not this one

    Returns:
        text: the distance
    """
    return f"{start.name} {end} {unit} {digits}"


def many(day: date, boxes: list[Box], unit: Unit, numbers: set[int]) -> list[Any]:
    return [day, boxes, unit, sorted(numbers)]


def test_a_function_is_described_by_its_signature_and_docstring() -> None:
    made = Tool.of(distance).definition()
    assert (made["type"], made["function"]["name"]) == ("function", "distance")
    assert made["function"]["description"] == "Measure how far two places are apart.\n\nAs the crow flies."
    parameters = made["function"]["parameters"]
    assert parameters["required"] == ["start"]
    assert parameters["additionalProperties"] is False
    assert parameters["$defs"]["Place"]["additionalProperties"] is False
    assert parameters["properties"] == {
        "start": {"$ref": "#/$defs/Place", "description": "where to begin, by name"},
        "end": {"anyOf": [{"$ref": "#/$defs/Place"}, {"type": "null"}], "default": None, "description": "where to end"},
        "unit": {"enum": ["km", "mi"], "type": "string", "default": "km"},
        "digits": {"type": "integer", "minimum": 0, "default": 1, "description": "behind the point"},
    }
    assert "description" not in Tool.of(many).definition()["function"]


def test_a_description_of_openais_form_passes_as_it_is() -> None:
    given = {"type": "function", "function": {"name": "x"}}
    assert definitions([given, Tool.of(many), many]) == (given, *2 * [Tool.of(many).definition()])


def plain(x) -> None: ...  # type: ignore[no-untyped-def]  # what is refused


def variadic(*xs: int) -> None: ...


def keywords(**xs: int) -> None: ...


def unknown(x: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821


async def later(x: int) -> None: ...


class Thing:
    """No JSON schema describes it."""


def things(x: Thing) -> None: ...


@pytest.mark.parametrize(
    ("function", "named"),
    [
        (plain, "'x' of the tool plain has no annotation"),
        (variadic, "'xs' of the tool variadic cannot be passed by name"),
        (keywords, "'xs' of the tool keywords cannot"),
        (unknown, "'x' of the tool unknown has a type"),
        (things, "'x' of the tool things has a type"),
        (later, "later is asynchronous"),
    ],
)
def test_what_cannot_be_described_is_refused_by_name(function: Callable[..., Any], named: str) -> None:
    with pytest.raises(InvalidRequest, match=named) as error:
        Tool.of(function)
    assert error.value.param == "tools"


def test_arguments_are_validated_into_the_types_of_the_signature() -> None:
    arguments = {"day": "2026-01-02", "boxes": [{"width": 1}], "unit": "mi", "numbers": [2, 1]}
    assert many(date(2026, 1, 2), [Box(1.0)], Unit.MILE, {1, 2}) == [date(2026, 1, 2), [Box(1.0)], Unit.MILE, [1, 2]]
    assert json.loads(Tool.of(many).run(json.dumps(arguments))) == ["2026-01-02", [{"width": 1.0}], "mi", [1, 2]]
    assert Tool.of(distance).run('{"start": {"name": "Bonn"}}') == "Bonn None km 1"


def fails(kind: str) -> object:
    if kind == "object":
        return object()
    raise KeyError(kind)


@pytest.mark.parametrize(
    ("tool", "arguments", "told"),
    [
        (distance, "{", "error: the arguments are not JSON"),
        (distance, "[]", "error: the arguments must be a JSON object"),
        (distance, "", "error: start is missing; distance takes start, end, unit, digits"),
        (distance, '{"begin": 1}', "error: there is no argument begin; start is missing"),
        (distance, '{"start": {"name": 1}, "unit": "m"}', "error: start.name: Input should be a valid string"),
        (fails, '{"kind": "x"}', "error: KeyError: 'x'"),
        (fails, '{"kind": "object"}', "error: the result cannot be written as JSON"),
    ],
)
def test_what_goes_wrong_is_told_to_the_model(tool: Callable[..., Any], arguments: str, told: str) -> None:
    assert Tool.of(tool).run(arguments).startswith(told)


def diverges() -> None:
    raise HandlerDiverged("asked something else")


def test_a_tool_that_diverges_from_its_earlier_run_ends_the_handler() -> None:
    with pytest.raises(HandlerDiverged):
        Tool.of(diverges).run("{}")
