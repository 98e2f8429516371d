"""Python functions as tools: how they are described, how a model's call is carried out, and the loop."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from enum import Enum
from typing import Annotated, Any, Literal, cast

import pytest
from pydantic import BaseModel, Field

from quickthaw import Answer, Delta, InvalidRequest, Model, Tool, ToolCallDelta, UnusableAnswer, tools
from quickthaw.choosing import tool_choice_fields
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


# --- the loop ---


def calls(*named: tuple[str, str], text: str = "") -> list[Delta]:
    pieces = [
        Delta(tool_calls=(ToolCallDelta(index, f"call_{index}", name, arguments),))
        for index, (name, arguments) in enumerate(named)
    ]
    return [Delta(text), *pieces, Delta(finish_reason="tool_calls")]


class Scripted:
    """Answers what it was given, and notes what it was asked."""

    def __init__(self, *answers: list[Delta]) -> None:
        self._answers = list(answers)
        self.asked: list[tuple[list[dict[str, Any]], dict[str, Any]]] = []

    def chat(self, messages: list[dict[str, Any]], **fields: Any) -> Answer[Any]:
        self.asked.append((list(messages), fields))
        return Answer(self._answers.pop(0))


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


ASK = [{"role": "user", "content": "1 + 2?"}]
SAY_THREE = [Delta("Three"), Delta(".", finish_reason="stop")]


def ran(model: Scripted, *given: Any, **fields: Any) -> tuple[list[Delta], list[dict[str, Any]]]:
    deltas: list[Delta] = []
    loop = tools.run(cast("Model", model), ASK, given or [add], **fields)
    while True:
        try:
            deltas.append(next(loop))
        except StopIteration as end:
            return deltas, end.value


def test_the_loop_carries_out_calls_until_there_is_an_answer() -> None:
    model = Scripted(calls(("add", '{"a": 1, "b": 2}'), ("sub", "{}"), ("add", '{"a": "x"}')), SAY_THREE)
    deltas, conversation = ran(model, temperature=0)
    assert [(delta.text, delta.finish_reason) for delta in deltas if delta.text] == [("Three", None), (".", "stop")]
    assert not any(delta.tool_calls for delta in deltas)
    assert conversation[:1] == ASK
    assert [made["function"]["name"] for made in conversation[1]["tool_calls"]] == ["add", "sub", "add"]
    assert [(m["role"], m["tool_call_id"], m["name"]) for m in conversation[2:5]] == [
        ("tool", "call_0", "add"),
        ("tool", "call_1", "sub"),
        ("tool", "call_2", "add"),
    ]
    assert conversation[2]["content"] == "3"
    assert conversation[3]["content"] == "error: there is no tool 'sub'; there are add"
    assert conversation[4]["content"].startswith("error: b is missing")
    assert conversation[5] == {"role": "assistant", "content": "Three."}
    assert model.asked[1][0] == conversation[:5]
    assert [fields["temperature"] for _, fields in model.asked] == [0, 0]
    assert ASK == [{"role": "user", "content": "1 + 2?"}]


def test_calls_are_shown_on_request() -> None:
    model = Scripted(calls(("add", '{"a": 1, "b": 2}')), SAY_THREE)
    deltas, _ = ran(model, show_calls=True)
    assert [piece.name for delta in deltas for piece in delta.tool_calls] == ["add"]
    assert [delta.finish_reason for delta in deltas if delta.finish_reason] == ["tool_calls", "stop"]


def test_what_is_said_before_a_call_is_a_paragraph_of_its_own() -> None:
    both = [
        Delta("Let me see."),
        Delta(" So:", tool_calls=(ToolCallDelta(0, "c", "add", "{}"),), finish_reason="tool_calls"),
    ]
    deltas, _ = ran(Scripted(both, SAY_THREE))
    assert "".join(map(str, deltas)) == "Let me see. So:\n\nThree."
    assert [delta.finish_reason for delta in deltas if delta.finish_reason] == ["stop"]


def test_a_choice_holds_for_the_first_round() -> None:
    model = Scripted(calls(("add", "{}")), SAY_THREE)
    ran(model, tool_choice="required")
    assert [fields["tool_choice"] for _, fields in model.asked] == ["required", "auto"]


def test_too_many_rounds_are_an_error_that_names_the_calls() -> None:
    model = Scripted(*2 * [calls(("add", "{}"))])
    with pytest.raises(UnusableAnswer, match=r"still calls tools \(add\) in round 2, the last"):
        ran(model, rounds=2)
    assert len(model.asked) == 2


def test_a_call_that_is_cut_short_is_an_error_and_not_carried_out() -> None:
    cut = [Delta(tool_calls=(ToolCallDelta(0, "c", "add", '{"a": 1'),)), Delta(finish_reason="length")]
    with pytest.raises(UnusableAnswer, match="call of add was cut short"):
        ran(Scripted(cut))


@pytest.mark.parametrize(
    ("given", "fields", "param"),
    [
        ([{"type": "function", "function": {"name": "add"}}], {}, "tools"),
        ([add, add], {}, "tools"),
        ([add], {"rounds": 0}, "rounds"),
    ],
)
def test_what_the_loop_cannot_do_is_refused_by_name(given: list[Any], fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        ran(Scripted(SAY_THREE), *given, **fields)
    assert error.value.param == param


def test_it_needs_tools_and_one_answer() -> None:
    with pytest.raises(InvalidRequest, match="at least one tool"):
        next(tools.run(cast("Model", Scripted()), ASK, []))
    with pytest.raises(InvalidRequest, match="n must be 1"):
        ran(Scripted([Delta("x", choice=1)]))


ADD_ONCE = {"tool_choice": "required", "allowed_tools": ["add"], "parallel_tool_calls": False}


@pytest.mark.parametrize(
    ("given", "fields"),
    [
        (None, {}),
        ("none", {"tool_choice": "none"}),
        ("add", ADD_ONCE),
        ({"type": "function", "function": {"name": "add"}}, ADD_ONCE),
        (
            {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "add"}}]},
            },
            {"tool_choice": "auto", "allowed_tools": ["add"]},
        ),
    ],
)
def test_a_choice_of_tools_becomes_fields(given: object, fields: dict[str, Any]) -> None:
    assert tool_choice_fields(given) == fields


@pytest.mark.parametrize(
    "given",
    [
        7,
        {"type": "custom"},
        {"type": "function"},
        {"type": "function", "function": {}},
        {"type": "allowed_tools"},
        {"type": "allowed_tools", "allowed_tools": {"mode": "some", "tools": []}},
        {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": None}},
    ],
)
def test_any_other_choice_is_refused(given: object) -> None:
    with pytest.raises(InvalidRequest, match="tool_choice must be"):
        tool_choice_fields(given)
