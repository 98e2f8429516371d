"""What chat requests ask for: tools, structures, messages; no Redis, no HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from quickthaw.generation import ChatOptions, Sampling
from quickthaw.types import Handler
from quickthaw_platform.errors import InvalidRequest
from quickthaw_platform.gateway.openai.mapping import Call, chat_call
from quickthaw_platform.gateway.openai.schema import ChatRequest

USER = {"role": "user", "content": "hi"}
LOOK = {"name": "look", "description": "Looks.", "parameters": {"type": "object", "properties": {"at": {}}}}
TOOLS = [{"type": "function", "function": LOOK}, {"type": "function", "function": {"name": "wait"}}]
NAMED = {"type": "function", "function": {"name": "look"}}


def call(own: Any = (), handler: Handler | None = None, **fields: Any) -> Call:
    return chat_call(ChatRequest.model_validate({"model": "chat", "messages": [USER], **fields}), handler, own)


def refusal(**fields: Any) -> str | None:
    with pytest.raises(InvalidRequest) as refused:
        call(**fields)
    return refused.value.param


def test_a_tool_without_parameters_takes_none_and_strict_is_no_part_of_it() -> None:
    tools = [{"type": "function", "function": {**LOOK, "strict": True}}, TOOLS[1]]
    assert call(tools=tools).chat["tools"] == [
        TOOLS[0],
        {"type": "function", "function": {"name": "wait", "parameters": {"type": "object", "properties": {}}}},
    ]


@pytest.mark.parametrize(
    ("choice", "options"),
    [
        ("none", {"tool_choice": "none"}),
        ("required", {"tool_choice": "required"}),
        (NAMED, {"tool_choice": "required", "allowed_tools": ["look"], "parallel_tool_calls": False}),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [NAMED]}},
            {"tool_choice": "auto", "allowed_tools": ["look"]},
        ),
    ],
)
def test_which_tools_may_be_called(choice: Any, options: dict[str, Any]) -> None:
    found = call(tools=TOOLS, tool_choice=choice).chat
    assert {name: value for name, value in found.items() if name != "tools"} == options
    ChatOptions.model_validate(found)


def test_the_older_functions_are_tools_called_one_at_a_time() -> None:
    found = call(functions=[LOOK], function_call={"name": "look"})
    assert found.chat == {
        "tools": TOOLS[:1], "parallel_tool_calls": False, "tool_choice": "required", "allowed_tools": ["look"],
    }  # fmt: skip
    assert found.places.tool == "functions.{}.parameters"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": [TOOLS[0], TOOLS[0]]}, "tools"),  # a name twice
        ({"tools": TOOLS, "functions": [LOOK]}, "functions"),
        ({"tool_choice": "required"}, "tool_choice"),  # of no tools
        ({"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "jump"}}}, "tool_choice"),
        ({"tools": [{**TOOLS[0], "returns": {}}]}, "tools.0.returns"),
        ({"continue_final_message": True}, "continue_final_message"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({"response_format": {"type": "json_object"}, "guided_regex": "a"}, "guided_regex"),
        ({"guided_json": "{"}, "guided_json"),
        ({"guided_json": "[1]"}, "guided_json"),
        ({"logit_bias": {"the": 1}}, "logit_bias"),
        ({"messages": [{**USER, "mood": "good"}]}, "messages.0.mood"),
        ({"messages": [{"role": "assistant", "audio": {"id": "a"}}]}, "messages.0.audio"),
        ({"messages": [USER, {"role": "user", "content": [{"type": "input_audio"}]}]}, "messages.1.content.0"),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "a", "x": 1}]}]},
            "messages.0.content.0.x",
        ),
    ],
)
def test_what_cannot_be_served_is_named(fields: dict[str, Any], param: str) -> None:
    assert refusal(**fields) == param


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [{"type": "custom", "custom": {"name": "x"}}]},
        {"tools": [{"type": "function", "function": {"name": "two words"}}]},
        {"response_format": {"type": "structural_tag"}},
        {"structured_outputs": {"whitespace_pattern": " "}},
        {"messages": [{"role": "assistant", "tool_calls": [{"type": "custom", "custom": {}}]}]},
        {"stream_options": {"continuous_usage_stats": True}},
    ],
)
def test_what_has_another_shape_is_no_request(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        call(**fields)


def test_tools_of_the_function_itself_may_be_chosen() -> None:
    assert call(own=TOOLS, tool_choice="required").chat == {"tool_choice": "required"}
    assert call(own=TOOLS, tool_choice=NAMED).chat["allowed_tools"] == ["look"]


def test_a_handler_may_have_tools_that_the_gateway_does_not_know() -> None:
    handler = Handler(file="f.py", object="f", parameters={"properties": {"messages": {}}})
    assert call(handler=handler, tool_choice=NAMED).chat["allowed_tools"] == ["look"]


SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}


@pytest.mark.parametrize(
    ("fields", "structure", "place"),
    [
        ({"response_format": {"type": "json_object"}}, {"json_schema": {"type": "object"}}, "response_format.schema"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}},
            {"json_schema": SCHEMA},
            "response_format.json_schema.schema",
        ),
        (
            {"response_format": {"type": "json_object", "schema": SCHEMA}},  # llama.cpp's
            {"json_schema": SCHEMA},
            "response_format.schema",
        ),
        (
            {"structured_outputs": {"json": '{"type": "null"}'}},
            {"json_schema": {"type": "null"}},
            "structured_outputs.json",
        ),
        ({"structured_outputs": {"choice": ["a", "b"]}}, {"choice": ["a", "b"]}, "structured_outputs.choice"),
        ({"guided_grammar": 'root ::= "a"'}, {"grammar": 'root ::= "a"'}, "guided_grammar"),
        ({"json_schema": True}, {"json_schema": True}, "json_schema"),
    ],
)
def test_every_name_for_what_an_answer_must_be(fields: dict[str, Any], structure: dict[str, Any], place: str) -> None:
    found = call(**fields)
    assert found.sampling["structure"] == structure
    assert found.places.structure == place
    Sampling.model_validate(found.sampling)


@pytest.mark.parametrize("fields", [{"response_format": {"type": "text"}}, {"grammar": ""}, {"structured_outputs": {}}])
def test_what_asks_for_no_structure(fields: dict[str, Any]) -> None:
    assert "structure" not in call(**fields).sampling


def test_sampling_by_other_names() -> None:
    fields: dict[str, Any] = {
        "n_predict": 5,
        "repeat_penalty": 1.5,
        "include_stop_str_in_output": True,
        "logit_bias": [[5, 1.5]],
    }
    assert call(**fields).sampling == {
        "max_tokens": 5, "repetition_penalty": 1.5, "include_stop": True, "logit_bias": {5: 1.5},
    }  # fmt: skip
    assert call(n_predict=-1).sampling == {"max_tokens": -1}
    assert call(max_tokens=3, n_predict=5).sampling == {"max_tokens": 3}  # OpenAI's name counts


def test_calls_and_their_results_keep_their_ids() -> None:
    function = {"name": "look", "arguments": '{"at": 1}'}
    messages = [
        USER,
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "type": "function", "function": function}]},
        {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "a wall"}]},
        {"role": "assistant", "refusal": "No.", "annotations": [], "audio": None, "reasoning_content": "Hm."},
    ]
    assert call(messages=messages).input["messages"] == [
        USER,
        {"role": "assistant", "content": "", "tool_calls": [{"id": "c1", "type": "function", "function": function}]},
        {"role": "tool", "content": "a wall", "tool_call_id": "c1"},
        {"role": "assistant", "content": "No.", "reasoning_content": "Hm."},
    ]


def test_the_older_form_of_a_call_and_its_result() -> None:
    function = {"name": "look", "arguments": "{}"}
    messages = [
        USER,
        {"role": "assistant", "function_call": function},
        {"role": "function", "name": "look", "content": "x"},
    ]
    _, made, result = call(messages=messages).input["messages"]
    assert made["tool_calls"] == [{"id": "call00001", "type": "function", "function": function}]
    assert result == {"role": "tool", "name": "look", "content": "x", "tool_call_id": "call00001"}
