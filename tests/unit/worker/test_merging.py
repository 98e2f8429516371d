"""Whose word counts: the handler's, the caller's, the default."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from quickthaw.errors import InvalidRequest
from quickthaw.generation import ChatOptions, Sampling, Structure
from quickthaw_platform.worker.merging import asked, merged, merged_chat, split


def tool(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}


def double(x: int) -> int:
    """Double it."""
    return 2 * x


class City(BaseModel):
    name: str


@pytest.mark.parametrize(
    ("explicit", "requested", "expected"),
    [
        ({}, {}, 1.0),  # the default
        ({}, {"temperature": 0.5}, 0.5),  # the caller's
        ({"temperature": 0.1}, {"temperature": 0.5}, 0.1),  # the handler's
        ({"temperature": None}, {"temperature": 0.5}, 0.5),  # a handler that passes None on has no opinion
    ],
)
def test_the_handlers_word_is_over_the_callers_over_the_default(
    explicit: dict[str, Any], requested: dict[str, Any], expected: float
) -> None:
    assert merged(Sampling, explicit, requested, Sampling()).temperature == expected


@pytest.mark.parametrize(
    ("kind", "fields", "param"),
    [
        (Sampling, {"temperature": 9}, "temperature"),
        (Sampling, {"structure": {"regex": "a", "choice": ["b"]}}, "structure"),
        (ChatOptions, {"tools": [1]}, "tools.0"),
        (ChatOptions, {"continue_final_message": True}, None),  # two fields that exclude each other
    ],
)
def test_what_cannot_be_is_named(kind: type[Any], fields: dict[str, Any], param: str | None) -> None:
    with pytest.raises(InvalidRequest) as error:
        merged(kind, fields, {})
    assert error.value.param == param


def test_fields_are_told_apart_and_an_unknown_one_is_refused_with_the_near_name() -> None:
    assert split({"top_p": 1, "documents": []}, Sampling, ChatOptions) == [{"top_p": 1}, {"documents": []}]
    with pytest.raises(InvalidRequest, match="'temprature'; did you mean 'temperature'") as error:
        split({"temprature": 1}, Sampling, ChatOptions)
    assert error.value.param == "temprature"
    with pytest.raises(InvalidRequest, match="documents"):
        split({"documents": []}, Sampling)
    with pytest.raises(InvalidRequest, match=r"there are .*temperature"):
        split({"zzz": 1}, Sampling)


def test_a_response_format_is_the_handlers_word_on_the_structure() -> None:
    requested = {"structure": {"regex": "a+"}, "top_k": 3}
    found = asked({}, City, requested, Sampling())
    assert found.sampling.structure is not None
    assert found.sampling.structure.json_schema is not None
    assert found.sampling.top_k == 3
    assert found.read('{"name": "Bonn"}') == City(name="Bonn")
    assert asked({}, {"type": "text"}, requested, Sampling()).sampling.structure is None
    with pytest.raises(InvalidRequest, match="give one of them"):
        asked({"structure": Structure(regex="a")}, City, {}, Sampling())


def test_without_one_the_callers_structure_says_how_the_answer_is_read() -> None:
    assert asked({}, None, {"structure": {"json_schema": {}}}, Sampling()).read("[1]") == [1]
    assert asked({}, None, {"structure": {"choice": ["1", "2"]}}, Sampling()).read("1") == "1"


def test_who_names_tools_names_all_of_them_and_which_may_be_called() -> None:
    requested = {"tools": [tool("a")], "tool_choice": "required", "allowed_tools": ["a"], "parallel_tool_calls": False}
    callers = merged_chat({}, None, None, requested)
    assert (callers.tools, callers.tool_choice, callers.allowed_tools) == ((tool("a"),), "required", ("a",))
    own = merged_chat({}, [double, tool("b")], None, requested)
    assert [made["function"]["name"] for made in own.tools] == ["double", "b"]
    assert (own.tool_choice, own.allowed_tools, own.parallel_tool_calls) == ("auto", None, False)
    assert merged_chat({}, [], None, requested).tools == ()


def test_the_handlers_choice_holds_over_the_callers() -> None:
    found = merged_chat({}, None, "b", {"tools": [tool("a"), tool("b")], "tool_choice": "none"})
    assert (found.tool_choice, found.allowed_tools) == ("required", ("b",))


@pytest.mark.parametrize(
    ("tools", "choice", "param", "text"),
    [
        ([tool("a"), tool("a")], None, "tools", "two tools are called 'a'"),
        ([{"type": "web_search"}], None, "tools", "has no name"),
        ([tool("a")], "b", "tool_choice", "names 'b', and the tools are: a"),
        ([], "required", "tool_choice", "there are no tools"),
        (None, "required", "tool_choice", "there are no tools"),
    ],
)
def test_tools_that_cannot_be_called_are_refused(tools: Any, choice: Any, param: str, text: str) -> None:
    with pytest.raises(InvalidRequest, match=text) as error:
        merged_chat({}, tools, choice, {})
    assert error.value.param == param
