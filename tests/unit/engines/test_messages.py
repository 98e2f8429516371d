from __future__ import annotations

from typing import Any

import pytest

from quickthaw.errors import InvalidRequest
from quickthaw_backends.engines.messages import plain_messages


@pytest.mark.parametrize(
    ("message", "plain"),
    [
        ({"role": "user", "content": "a"}, {"role": "user", "content": "a"}),
        ({"role": "developer", "content": "a"}, {"role": "system", "content": "a"}),
        ({"role": "assistant", "content": None}, {"role": "assistant", "content": ""}),  # a call of tools has none
        (
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
            {"role": "user", "content": "ab"},
        ),
        ({"role": "user", "content": "a", "name": "x"}, {"role": "user", "content": "a", "name": "x"}),  # others stay
        (
            {"role": "assistant", "content": "a", "tool_calls": None},
            {"role": "assistant", "content": "a"},
        ),  # null: none
        (
            {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}], "tool_calls": []},
            {"role": "assistant", "content": "No."},
        ),
    ],
)
def test_messages_become_plain(message: dict[str, Any], plain: dict[str, Any]) -> None:
    assert plain_messages([message]) == [plain]


def call(arguments: Any, **more: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "f", "arguments": arguments}, **more}


@pytest.mark.parametrize(
    ("given", "read"),
    [('{"a": [1]}', {"a": [1]}), ({"a": 1}, {"a": 1}), ("", {}), (None, {}), ("null", {})],
)
def test_arguments_of_earlier_calls_become_objects(given: Any, read: dict[str, Any]) -> None:
    [message] = plain_messages([{"role": "assistant", "content": None, "tool_calls": [call(given, id="x")]}])
    assert message == {"role": "assistant", "content": "", "tool_calls": [call(read, id="x")]}


def test_results_and_calls_find_each_other_by_id_or_name() -> None:
    messages = plain_messages(
        [
            {"role": "assistant", "tool_calls": [call("{}", id="one")]},
            {"role": "tool", "tool_call_id": "one", "content": "1"},
            {"role": "assistant", "function_call": {"name": "g", "arguments": "{}"}},
            {"role": "function", "name": "g", "content": "2"},
            {"role": "tool", "tool_call_id": "unknown", "content": "3"},
        ]
    )
    results = [message for message in messages if message["role"] == "tool"]
    [legacy] = messages[2]["tool_calls"]
    assert [(result.get("name"), result["tool_call_id"]) for result in results] == [
        ("f", "one"),
        ("g", legacy["id"]),
        (None, "unknown"),
    ]
    assert len(legacy["id"]) == 9


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ({"tool_calls": [call("no JSON")]}, "messages[0].tool_calls[0].function.arguments"),
        ({"tool_calls": [call("[1]")]}, "messages[0].tool_calls[0].function.arguments"),
        ({"tool_calls": [call("[" * 100_000)]}, "messages[0].tool_calls[0].function.arguments"),
        ({"tool_calls": [call("{}"), {"function": {}}]}, "messages[0].tool_calls[1].function"),
        ({"tool_calls": [call("{}", type="custom")]}, "messages[0].tool_calls[0]"),
        ({"tool_calls": [call("{}", id=7)]}, "messages[0].tool_calls[0].id"),
        ({"tool_calls": "f"}, "messages[0].tool_calls"),
        ({"tool_calls": [call("{}")], "role": "user"}, "messages[0].tool_calls"),
        ({"function_call": {"name": "f", "arguments": "x"}}, "messages[0].function_call.arguments"),
    ],
)
def test_an_earlier_call_that_is_none_is_refused_by_its_place(message: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        plain_messages([{"role": "assistant", "content": None, **message}])
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("messages", "place"),
    [
        ([], "messages is empty"),
        ([{"content": "a"}], r"messages\[0\] needs a role"),
        ([{"role": "user", "content": "a"}, {"role": "user", "content": 7}], r"messages\[1\]\.content"),
        ([{"role": "user", "content": [{"type": "input_audio"}]}], r"content\[0\] has type 'input_audio'"),
        ([{"role": "user", "content": [{"type": "text"}]}], r"content\[0\]"),
    ],
)
def test_the_error_names_the_place(messages: list[dict[str, Any]], place: str) -> None:
    with pytest.raises(InvalidRequest, match=place):
        plain_messages(messages)
