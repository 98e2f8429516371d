"""The events of an answer, and the message that they add up to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from quickthaw.generation import Delta, ToolCallDelta
from quickthaw.types import Event, EventType, Usage
from quickthaw_platform.gateway.messages.events import Head, MessageEvents, whole

HEAD = Head("msg_1", "chat")


def chunk(delta: Delta) -> Event:
    return Event(seq=1, type=EventType.CHUNK, data={"delta": delta.to_json()})


def told(*deltas: Delta, usage: Usage | None = None, **options: Any) -> list[dict[str, Any]]:
    builder = MessageEvents(HEAD, **options)
    found = [event for delta in deltas for event in builder.feed(chunk(delta))]
    return [*found, *builder.end(usage or Usage())]


def call(index: int, arguments: str, **fields: Any) -> Delta:
    return Delta(tool_calls=(ToolCallDelta(index, f"id{index}", "weather", arguments),), **fields)


def test_each_kind_of_output_is_a_block_of_its_own() -> None:
    events = told(
        Delta(reasoning="Hm"), Delta(reasoning="."), Delta("So: "), Delta("it is"), call(0, '{"a":'), call(0, " 1}"),
        call(1, "{}", finish_reason="tool_calls"),
    )  # fmt: skip
    starts = [(e["index"], e["content_block"]["type"]) for e in events if e["type"] == "content_block_start"]
    assert starts == [(0, "thinking"), (1, "text"), (2, "tool_use"), (3, "tool_use")]
    assert [e["index"] for e in events if e["type"] == "content_block_stop"] == [0, 1, 2, 3]
    message = whole(events)
    assert [block["type"] for block in message["content"]] == ["thinking", "text", "tool_use", "tool_use"]
    assert message["content"][0]["thinking"] == "Hm."
    assert message["content"][0]["signature"]
    assert message["content"][1]["text"] == "So: it is"
    assert message["content"][2] == {"type": "tool_use", "id": "id0", "name": "weather", "input": {"a": 1}}
    assert message["stop_reason"] == "tool_use"


@pytest.mark.parametrize(
    ("last", "reason", "sequence"),
    [
        (Delta(finish_reason="stop"), "end_turn", None),
        (Delta(finish_reason="length"), "max_tokens", None),
        (Delta(finish_reason="stop", stop="END"), "stop_sequence", "END"),
        (call(0, "{}", finish_reason="tool_calls"), "tool_use", None),
        (call(0, '{"a', finish_reason="length"), "max_tokens", None),  # cut off within the call
    ],
)
def test_why_it_ends(last: Delta, reason: str, sequence: str | None) -> None:
    message = whole(told(Delta("a"), last))
    assert (message["stop_reason"], message["stop_sequence"]) == (reason, sequence)


def test_an_input_that_was_cut_off_is_kept_as_text() -> None:
    assert whole(told(call(0, '{"a', finish_reason="length")))["content"][0]["input"] == {"INVALID_JSON": '{"a'}


def test_omitted_thoughts_are_an_empty_block_with_a_signature() -> None:
    (block, _) = whole(told(Delta(reasoning="secret"), Delta("a"), shows_thinking=False))["content"]
    assert block["thinking"] == ""
    assert block["signature"]


def test_what_was_not_computed_is_no_input_token() -> None:
    usage = Usage(prompt_tokens=10, cached_tokens=4, completion_tokens=2)
    events = told(Delta("a", prompt_tokens=10, cached_tokens=4), usage=usage)
    start = events[0]["message"]["usage"]
    assert (start["input_tokens"], start["cache_read_input_tokens"]) == (6, 4)
    assert whole(events)["usage"]["output_tokens"] == 2


def test_a_handlers_plain_values_are_text_and_other_choices_are_left_out() -> None:
    builder = MessageEvents(HEAD)
    plain = Event(seq=1, type=EventType.CHUNK, data={"value": {"a": 1}})
    found = [*builder.feed(plain), *builder.feed(chunk(Delta("no", choice=1)))]
    assert whole([*found, *builder.end(Usage())])["content"] == [{"type": "text", "text": '{"a":1}'}]


def test_an_answer_without_anything_has_no_blocks() -> None:
    message = whole(told(Delta(finish_reason="stop")))
    assert (message["content"], message["stop_reason"]) == ([], "end_turn")


def test_the_quick_way_says_the_same() -> None:
    deltas: Sequence[Delta] = [Delta("a", (1,)), Delta('"\n', (2,)), Delta("ß", (3,))]
    quick, slow = MessageEvents(HEAD), MessageEvents(HEAD)
    assert quick.quick(chunk(deltas[0])) is None
    list(quick.feed(chunk(deltas[0])))
    list(slow.feed(chunk(deltas[0])))
    for delta in deltas[1:]:
        (expected,) = slow.feed(chunk(delta))
        encoded = quick.quick(chunk(delta))
        assert encoded is not None
        name, data = encoded.decode().strip().split("\n")
        assert name == "event: content_block_delta"
        assert json.loads(data.removeprefix("data: ")) == expected


def test_thoughts_behind_a_text_do_not_take_the_quick_way() -> None:
    builder = MessageEvents(HEAD)
    list(builder.feed(chunk(Delta("a"))))
    assert builder.quick(chunk(Delta("b", reasoning="c"))) is None
    list(builder.feed(chunk(Delta(reasoning="c"))))
    assert builder.quick(chunk(Delta("b"))) is None
