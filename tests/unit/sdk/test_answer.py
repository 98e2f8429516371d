"""Answers: read as deltas, as a whole, as objects, and as far as they are written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict
from typing_extensions import TypedDict

from quickthaw import Answer, Delta, InvalidRequest, Message, Structure, ToolCall, ToolCallDelta, UnusableAnswer
from quickthaw.shape import shape_of


class Street(BaseModel):
    name: str
    number: int | None = None


class City(BaseModel):
    name: str
    streets: list[Street] = []


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")

    name: str


@dataclass
class Point:
    x: int


class Pair(TypedDict):
    left: str


def call(index: int, *arguments: str, name: str = "", id: str = "") -> list[Delta]:
    pieces = [ToolCallDelta(index, id, name), *(ToolCallDelta(index, arguments=text) for text in arguments)]
    return [Delta(tool_calls=(piece,)) for piece in pieces]


def answer(*texts: str, finish_reason: Any = "stop", response_format: Any = None) -> Answer[Any]:
    deltas = [*map(Delta, texts), Delta(finish_reason=finish_reason)]
    return Answer(deltas, shape_of(response_format).read)


def test_it_is_streamed_first_and_whole_behind_that() -> None:
    found = answer("a", "b")
    assert next(found) == Delta("a")
    assert [str(delta) for delta in found] == ["b", ""]
    assert found.text() == "ab"
    assert found.message().finish_reason == "stop"


def test_thoughts_calls_and_text_are_told_apart_for_each_choice() -> None:
    deltas = [
        Delta(reasoning="Hm"),
        Delta("Wait."),
        *call(0, '{"a": ', "1}", name="add", id="call_1"),
        *call(1, "{}", name="now", id="call_2"),
        Delta("other", choice=1),
        Delta(finish_reason="tool_calls"),
    ]
    found: Answer[Any] = Answer(deltas)
    assert found.tool_calls() == [ToolCall("call_1", "add", '{"a": 1}'), ToolCall("call_2", "now", "{}")]
    assert (found.reasoning(), found.text(), found.text(choice=1)) == ("Hm", "Wait.", "other")
    assert found.message().to_json() == {
        "role": "assistant",
        "content": "Wait.",
        "reasoning_content": "Hm",
        "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}},
            {"id": "call_2", "type": "function", "function": {"name": "now", "arguments": "{}"}},
        ],
    }


def test_a_call_with_an_id_is_a_new_one_also_where_its_index_was_seen_before() -> None:
    message = Message()
    for delta in (*call(0, "{}", name="add", id="1"), *call(0, "[]", name="add", id="2")):
        message.add(delta)
    assert [(made.id, made.arguments) for made in message.tool_calls] == [("1", "{}"), ("2", "[]")]


@pytest.mark.parametrize(
    ("response_format", "text", "expected"),
    [
        (City, '{"name": "Bonn", "streets": [{"name": "Am Hof"}]}', City(name="Bonn", streets=[Street(name="Am Hof")])),
        (Point, '{"x": 1}', Point(1)),
        (Pair, '{"left": "a"}', {"left": "a"}),
        (list[int], "[1, 2]", [1, 2]),
        (Literal["yes", "no"], '"yes"', "yes"),
        (Structure(json_schema=True), "[1]", [1]),
        (Structure(regex="[0-9]+"), "12", "12"),
        ({"type": "json_object"}, '{"a": 1}', {"a": 1}),
        ({"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "null"}}}, "null", None),
        (None, "[true]", [True]),  # the caller's structure, or none: whatever JSON it is
    ],
)
def test_it_is_parsed_as_its_response_format_says(response_format: Any, text: str, expected: Any) -> None:
    assert answer(*text, response_format=response_format).parsed() == expected


@pytest.mark.parametrize(
    ("text", "finish_reason", "reason"),
    [
        ('{"name": "Bo', "length", "cut short; allow more max_tokens"),
        ('{"name": 1}', "stop", "does not fit the response_format"),
        ("Bonn", "stop", "does not fit the response_format"),
    ],
)
def test_what_cannot_be_parsed_says_why(text: str, finish_reason: str, reason: str) -> None:
    with pytest.raises(UnusableAnswer, match=reason):
        answer(text, finish_reason=finish_reason, response_format=City).parsed()


def test_an_answer_that_calls_tools_is_no_object() -> None:
    with pytest.raises(UnusableAnswer, match="calls tools"):
        Answer(call(0, "{}", name="add", id="1")).parsed()
    with pytest.raises(UnusableAnswer, match="not JSON"):
        answer("no").parsed()


def test_partial_objects_hold_what_is_written_and_the_last_one_is_whole() -> None:
    found = answer("{", '"name": ', '"Bo', 'nn", "streets"', ': [{"name": "A', '"}]}')
    assert list(found.partial()) == [
        {},
        {"name": "Bo"},
        {"name": "Bonn"},
        {"name": "Bonn", "streets": [{"name": "A"}]},
    ]
    assert found.parsed() == {"name": "Bonn", "streets": [{"name": "A"}]}


def test_the_schema_of_a_type_closes_its_objects_unless_they_take_more() -> None:
    def schema(kind: type[Any]) -> dict[str, Any]:
        structure = shape_of(kind).structure
        assert structure is not None
        assert isinstance(structure.json_schema, dict)
        return structure.json_schema

    city = schema(City)
    assert city["additionalProperties"] is False
    assert city["$defs"]["Street"]["additionalProperties"] is False
    assert city["required"] == ["name"]
    assert schema(Open)["additionalProperties"] is True
    assert schema(Point)["additionalProperties"] is False
    assert schema(Pair)["additionalProperties"] is False
    assert schema(dict[str, int])["additionalProperties"] == {"type": "integer"}


@pytest.mark.parametrize(
    "response_format",
    [
        {"type": "grammar"},
        {"type": "json_schema"},
        {"type": "json_schema", "json_schema": {"name": "n"}},
        object(),
        type("Odd", (), {}),
        "City",
    ],
)
def test_what_is_no_response_format_is_refused_by_name(response_format: Any) -> None:
    with pytest.raises(InvalidRequest) as error:
        shape_of(response_format)
    assert error.value.param == "response_format"


def test_any_text_has_no_structure() -> None:
    assert shape_of({"type": "text"}).structure is None
    assert shape_of({"type": "json_object"}).structure == Structure(json_schema={"type": "object"})
