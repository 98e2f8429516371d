"""Anthropic's requests as calls of functions."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from quickthaw.generation import ChatOptions, Sampling
from quickthaw.types import Handler
from quickthaw_platform.errors import InvalidRequest
from quickthaw_platform.gateway.messages.mapping import count_call, messages_call
from quickthaw_platform.gateway.messages.schema import CountRequest, MessagesRequest
from quickthaw_platform.gateway.openai.mapping import Call

USER = {"role": "user", "content": "hi"}
TOOL = {"name": "weather", "input_schema": {"type": "object"}}
USE = {"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "Köln"}}
RESULT = {"type": "tool_result", "tool_use_id": "t1", "content": "rain"}


def call(handler: Handler | None = None, **fields: Any) -> Call:
    body = {"model": "chat", "max_tokens": 5, "messages": [USER], **fields}
    found = messages_call(MessagesRequest.model_validate(body), handler, ())
    Sampling.model_validate(found.sampling)
    ChatOptions.model_validate(found.chat)
    return found


def conversation(*messages: dict[str, Any], **fields: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = call(messages=list(messages), **fields).input["messages"]
    return found


def test_sampling_fields_have_our_names() -> None:
    sampling = call(stop_sequences=["END"], temperature=0.5, top_p=0.9, top_k=3).sampling
    assert sampling == {"max_tokens": 5, "stop": ["END"], "temperature": 0.5, "top_p": 0.9, "top_k": 3}


def test_the_system_prompt_comes_first() -> None:
    blocks = [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}, {"type": "text", "text": "b"}]
    assert conversation(USER, system=blocks) == [{"role": "system", "content": "a\nb"}, USER]


def test_turns_of_one_role_are_joined() -> None:
    assert conversation(USER, {"role": "user", "content": [{"type": "text", "text": "there"}]}) == [
        {"role": "user", "content": "hi\nthere"}
    ]


def test_calls_and_their_results_are_turns_of_their_own() -> None:
    asked = {"role": "assistant", "content": [{"type": "text", "text": "Let me see."}, USE]}
    answered = {"role": "user", "content": [RESULT, {"type": "text", "text": "and?"}]}
    function = {"name": "weather", "arguments": '{"city":"Köln"}'}
    assert conversation(USER, asked, answered, tools=[TOOL])[1:] == [
        {
            "role": "assistant",
            "content": "Let me see.",
            "tool_calls": [{"id": "t1", "type": "function", "function": function}],
        },
        {"role": "tool", "tool_call_id": "t1", "name": "weather", "content": "rain"},
        {"role": "user", "content": "and?"},
    ]


@pytest.mark.parametrize(
    ("change", "content"),
    [
        ({}, "rain"),
        ({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}, "a\nb"),
        ({"content": None}, ""),
        ({"is_error": True}, "Error: rain"),
    ],
)
def test_a_result_is_text(change: dict[str, Any], content: str) -> None:
    asked = {"role": "assistant", "content": [USE]}
    answered = {"role": "user", "content": [{**RESULT, **change}]}
    assert conversation(USER, asked, answered)[-1]["content"] == content


def test_two_results_are_two_turns() -> None:
    asked = {"role": "assistant", "content": [USE, {**USE, "id": "t2"}]}
    answered = {"role": "user", "content": [RESULT, {**RESULT, "tool_use_id": "t2"}]}
    assert [turn["role"] for turn in conversation(USER, asked, answered)] == ["user", "assistant", "tool", "tool"]


def test_thoughts_are_shown_and_what_nobody_can_read_is_left_out() -> None:
    thought = [
        {"type": "thinking", "thinking": "Hm.", "signature": "s"},
        {"type": "redacted_thinking", "data": "x"},
        {"type": "text", "text": "So:"},
    ]
    last = conversation(USER, {"role": "assistant", "content": thought}, USER)[1]
    assert last == {"role": "assistant", "content": "So:", "reasoning_content": "Hm."}


def test_a_last_message_of_the_assistant_is_continued() -> None:
    found = call(messages=[USER, {"role": "assistant", "content": "The answer is"}])
    assert found.chat == {"add_generation_prompt": False, "continue_final_message": True}


@pytest.mark.parametrize(
    ("choice", "chat"),
    [
        ({"type": "auto"}, {"tool_choice": "auto"}),
        ({"type": "none"}, {"tool_choice": "none"}),
        (
            {"type": "any", "disable_parallel_tool_use": True},
            {"tool_choice": "required", "parallel_tool_calls": False},
        ),
        (
            {"type": "tool", "name": "weather"},
            {"tool_choice": "required", "allowed_tools": ["weather"], "parallel_tool_calls": False},
        ),
    ],
)
def test_choices_of_tools(choice: dict[str, Any], chat: dict[str, Any]) -> None:
    found = dict(call(tools=[TOOL], tool_choice=choice).chat)
    assert found.pop("tools") == [
        {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
    ]
    assert found == chat


@pytest.mark.parametrize(
    ("thinking", "chat"),
    [
        ({"type": "enabled", "budget_tokens": 1024}, {"chat_template_kwargs": {"enable_thinking": True}}),
        ({"type": "disabled"}, {"chat_template_kwargs": {"enable_thinking": False}}),
        ({"type": "adaptive"}, {}),
    ],
)
def test_thinking_is_the_templates_variable(thinking: dict[str, Any], chat: dict[str, Any]) -> None:
    assert call(thinking=thinking).chat == chat


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}}, "output_config.format"),
        ({"output_format": {"type": "json_schema", "schema": {"type": "object"}}}, "output_format"),
    ],
)
def test_a_schema_is_the_structure_and_its_place_is_known(fields: dict[str, Any], place: str) -> None:
    found = call(**fields)
    assert found.sampling["structure"] == {"json_schema": {"type": "object"}}
    assert found.places.structure == f"{place}.schema"
    assert found.places.tool == "tools.{}.input_schema"


def test_effort_is_shown_to_the_template() -> None:
    assert call(output_config={"effort": "low"}).chat == {"reasoning_effort": "low"}


def test_a_handler_gets_the_fields_that_it_has_as_arguments() -> None:
    handler = Handler(
        file="f.py", object="f", parameters={"properties": {"messages": {}, "max_tokens": {}, "city": {}}}
    )
    assert call(handler, city="Köln").input == {"messages": [USER], "max_tokens": 5, "city": "Köln"}


def test_a_count_asks_for_no_tokens_and_no_structure() -> None:
    body = {"model": "chat", "messages": [USER], "tools": [TOOL], "output_config": {"effort": "low"}}
    found = count_call(CountRequest.model_validate(body), None, ())
    assert found.sampling == {"max_tokens": 0}
    assert found.chat["reasoning_effort"] == "low"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": [{"role": "user", "content": [USE]}]}, "messages.0.content.0"),
        ({"messages": [{"role": "assistant", "content": [RESULT]}, USER]}, "messages.0.content.0"),
        ({"messages": [{"role": "user", "content": [RESULT]}]}, "messages.0.content.0.tool_use_id"),
        ({"messages": [USER, {"role": "assistant", "content": [USE]}]}, "messages.1"),
        ({"tools": [TOOL, TOOL]}, "tools"),
        ({"tool_choice": {"type": "tool"}, "tools": [TOOL]}, "tool_choice.name"),
        ({"tool_choice": {"type": "any"}}, "tool_choice"),
        ({"speed": "fast"}, "speed"),
        ({"prefix": "x"}, "prefix"),
        (
            {
                "output_format": {"type": "json_schema", "schema": {}},
                "output_config": {"format": {"type": "json_schema", "schema": {}}},
            },
            "output_format",
        ),
    ],
)
def test_what_cannot_be_served_is_named(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        call(**fields)
    assert refused.value.param == param


@pytest.mark.parametrize(
    "fields",
    [
        {"messages": [{"role": "user", "content": [{"type": "document", "source": {}}]}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "a", "colour": "red"}]}]},
        {"messages": []},
        {"max_tokens": 0},
        {"stop_sequences": ["a"] * 129},
        {"tools": [{**TOOL, "defer_loading": True}]},
        {"tools": [{"type": "bash_20250124", "name": "bash"}]},
        {"thinking": {"type": "enabled", "tokens": 5}},
    ],
)
def test_what_has_no_meaning_here_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        call(**fields)


def test_null_is_unset() -> None:
    block = {"type": "text", "text": "hi", "citations": None, "cache_control": None, "colour": None}
    fields = dict.fromkeys(("system", "tools", "thinking", "temperature", "metadata", "container", "colour"))
    assert conversation({"role": "user", "content": [block]}, **fields) == [USER]
