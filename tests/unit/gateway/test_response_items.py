from __future__ import annotations

from typing import Any

import pytest

from quickthaw_platform.errors import InvalidRequest
from quickthaw_platform.gateway.responses.items import invocation_in, items_of, messages_of, named

CALL = {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{}"}
OTHER_CALL = {**CALL, "call_id": "c2", "name": "time"}
THOUGHT = {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "hm"}], "summary": []}
RETURNED = {"type": "function_call_output", "call_id": "c1", "output": "rain"}


def call(identity: str, name: str) -> dict[str, Any]:
    """Return a call as chat completions have it."""
    return {"id": identity, "type": "function", "function": {"name": name, "arguments": "{}"}}


def unknown(identity: str, place: str) -> dict[str, Any]:
    raise AssertionError(f"{place} refers to {identity}")


def messages(*sent: dict[str, Any]) -> list[dict[str, Any]]:
    return messages_of(items_of(list(sent), unknown))


@pytest.mark.parametrize(
    ("sent", "wanted"),
    [
        # a message, with or without its type, as text or as parts
        ([{"role": "user", "content": "hi"}], [{"role": "user", "content": "hi"}]),
        (
            [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": t} for t in "ab"]}],
            [{"role": "user", "content": "ab"}],
        ),
        # what was refused is what was said
        (
            [{"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}],
            [{"role": "assistant", "content": "no"}],
        ),
        # developers are the system
        ([{"role": "developer", "content": "be brief"}], [{"role": "system", "content": "be brief"}]),
        # thoughts, a text and calls of one turn are one message
        (
            [THOUGHT, {"role": "assistant", "content": "well"}, CALL, OTHER_CALL],
            [
                {
                    "role": "assistant",
                    "content": "well",
                    "reasoning_content": "hm",
                    "tool_calls": [call("c1", "weather"), call("c2", "time")],
                }
            ],
        ),
        # thoughts begin a new one, and so does a text behind calls
        (
            [CALL, THOUGHT, OTHER_CALL],
            [
                {"role": "assistant", "content": "", "tool_calls": [call("c1", "weather")]},
                {
                    "role": "assistant",
                    "content": "",
                    "reasoning_content": "hm",
                    "tool_calls": [call("c2", "time")],
                },
            ],
        ),
        (
            [CALL, {"role": "assistant", "content": "done"}],
            [
                {"role": "assistant", "content": "", "tool_calls": [call("c1", "weather")]},
                {"role": "assistant", "content": "done"},
            ],
        ),
        # two texts stay two messages
        (
            [{"role": "assistant", "content": "a"}, {"role": "assistant", "content": "b"}],
            [{"role": "assistant", "content": "a"}, {"role": "assistant", "content": "b"}],
        ),
        # what a tool returned, as text or as parts
        ([RETURNED], [{"role": "tool", "tool_call_id": "c1", "content": "rain"}]),
        (
            [{**RETURNED, "output": [{"type": "input_text", "text": "snow"}]}],
            [{"role": "tool", "tool_call_id": "c1", "content": "snow"}],
        ),
        # a summary stands for thoughts that are not there
        (
            [{"type": "reasoning", "summary": [{"type": "summary_text", "text": "so"}]}],
            [{"role": "assistant", "content": "", "reasoning_content": "so"}],
        ),
    ],
)
def test_items_are_the_messages_that_templates_know(sent: list[dict[str, Any]], wanted: list[dict[str, Any]]) -> None:
    assert messages(*sent) == wanted


def test_a_text_is_a_message_of_the_user() -> None:
    assert messages_of(items_of("hi", unknown)) == [{"role": "user", "content": "hi"}]


def test_instructions_stand_before_all() -> None:
    found = messages_of(items_of("hi", unknown), "be brief")
    assert found[0] == {"role": "system", "content": "be brief"}


def test_messages_do_not_change_the_items_that_they_are_made_from() -> None:
    items = items_of([dict(THOUGHT), dict(CALL), dict(OTHER_CALL)], unknown)
    assert messages_of(items) == messages_of(items)


def test_a_reference_is_the_item_that_it_names() -> None:
    said = items_of("hi", unknown)[0]
    places: list[tuple[str, str]] = []

    def find(identity: str, place: str) -> dict[str, Any]:
        places.append((identity, place))
        return said

    assert items_of([{"type": "item_reference", "id": "msg_a_0"}, {"id": "msg_a_1"}], find) == [said, said]
    assert places == [("msg_a_0", "input.0.id"), ("msg_a_1", "input.1.id")]


def test_items_keep_their_ids_and_get_one_where_they_have_none() -> None:
    items = items_of([{"role": "user", "content": "a", "id": "mine"}, dict(CALL), dict(RETURNED)], unknown)
    assert [item["id"] for item in named(items, "abc")] == ["mine", "fc_abc_in1", "fco_abc_in2"]


def test_an_id_tells_its_invocation() -> None:
    assert invocation_in("msg_abc_0") == "abc"
    assert invocation_in("strange") is None


@pytest.mark.parametrize(
    ("item", "param"),
    [
        ({"role": "user", "content": 5}, "input.0.content"),
        ({"role": "user", "content": ["text"]}, "input.0.content"),
        ({"role": "user", "content": [{"type": "input_file"}]}, "input.0.content.0.type"),
        ({"role": "user", "content": [{"type": "input_text"}]}, "input.0.content.0.text"),
        ({**RETURNED, "output": [{"type": "input_image"}]}, "input.0.output.0.type"),
        ({**CALL, "arguments": {}}, "input.0.arguments"),
        ({"type": "reasoning", "summary": "so"}, "input.0.summary"),
        ({**THOUGHT, "encrypted_content": "gAAA"}, "input.0.encrypted_content"),
        ({"type": ["message"]}, "input.0.type"),
        ({"type": "web_search_call"}, "input.0.type"),
        ({"role": "user", "content": [{"type": ["text"]}]}, "input.0.content.0.type"),
        ({}, "input.0.id"),
    ],
)
def test_what_cannot_be_read_is_refused_at_its_place(item: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        items_of([item], unknown)
    assert refused.value.param == param
