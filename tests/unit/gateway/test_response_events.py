from __future__ import annotations

import json
from itertools import chain
from typing import Any

import pytest
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from quickthaw.generation import Delta, TokenLogprob, ToolCallDelta
from quickthaw.types import Event, EventType
from quickthaw_platform.errors import (
    ContextLengthExceeded,
    HandlerFailed,
    InvocationCancelled,
    QuickthawError,
    Unavailable,
)
from quickthaw_platform.gateway.responses.body import Draft
from quickthaw_platform.gateway.responses.events import ResponseEvents
from quickthaw_platform.gateway.responses.stream import Encoder
from tests.unit.gateway.sse import messages

EVENTS: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
USAGE = {"prompt_tokens": 5, "completion_tokens": 4, "cached_tokens": 2}


def reader(**request: Any) -> ResponseEvents:
    return ResponseEvents(Draft("resp_i", 1, "chat", request, {}), "i")


def log(*outputs: Delta | QuickthawError | str) -> list[Event]:
    """Return a log with these outputs and its end."""
    events = [Event(seq=1, type=EventType.STATUS, data={"state": "running"})]
    for output in outputs:
        if isinstance(output, QuickthawError):
            return [*events, Event(seq=len(events) + 1, type=EventType.ERROR, data={"error": output.to_json()})]
        data = {"delta": output.to_json()} if isinstance(output, Delta) else {"value": output}
        events.append(Event(seq=len(events) + 1, type=EventType.CHUNK, data=data))
    return [*events, Event(seq=len(events) + 1, type=EventType.RESULT, data={"value": None, "usage": USAGE})]


def told(events: list[Event], **request: Any) -> list[dict[str, Any]]:
    """Return what is told of a log, each checked by OpenAI's own types."""
    found = reader(**request)
    said = [*found.begin(), *chain.from_iterable(map(found.feed, events))]
    for each in said:
        EVENTS.validate_python(each)
    assert [each["sequence_number"] for each in said] == list(range(len(said)))
    return said


def kinds(said: list[dict[str, Any]]) -> list[str]:
    return [each["type"].removeprefix("response.") for each in said]


def call(index: int, **fields: str) -> Delta:
    return Delta(tool_calls=(ToolCallDelta(index, **fields),))


MIXED = [
    Delta(reasoning="h", tokens=(1,)),
    Delta(reasoning="m", tokens=(2, 3)),
    Delta("wait", (4,)),
    call(0, id="call_a", name="f", arguments="{"),
    call(0, arguments="}"),
    call(1, id="call_b", name="g", arguments="{}"),
    Delta(finish_reason="tool_calls"),
]


def test_thoughts_text_and_calls_are_items_in_the_order_in_which_they_come() -> None:
    said = told(log(*MIXED))
    assert kinds(said) == [
        "created", "in_progress",
        "output_item.added", "content_part.added", "reasoning_text.delta", "reasoning_text.delta",
        "reasoning_text.done", "content_part.done", "output_item.done",
        "output_item.added", "content_part.added", "output_text.delta",
        "output_text.done", "content_part.done", "output_item.done",
        "output_item.added", "function_call_arguments.delta", "function_call_arguments.delta",
        "function_call_arguments.done", "output_item.done",
        "output_item.added", "function_call_arguments.delta",
        "function_call_arguments.done", "output_item.done",
        "completed",
    ]  # fmt: skip
    response = said[-1]["response"]
    assert [item["type"] for item in response["output"]] == ["reasoning", "message", "function_call", "function_call"]
    assert response["output"][2]["arguments"] == "{}"
    assert response["usage"]["output_tokens_details"]["reasoning_tokens"] == 3
    assert response["usage"]["input_tokens_details"]["cached_tokens"] == 2
    assert {each["output_index"] for each in said if each.get("item_id") == "fc_i_3"} == {3}


def test_each_item_is_announced_told_and_ended_with_what_it_is() -> None:
    said = told(log(*MIXED))
    added = [each for each in said if each["type"].endswith("output_item.added")]
    done = [each for each in said if each["type"].endswith("output_item.done")]
    assert [each["item"]["id"] for each in added] == [each["item"]["id"] for each in done]
    assert {each["item"]["status"] for each in added} == {"in_progress"}
    assert [each["item"] for each in done] == said[-1]["response"]["output"]


def test_thoughts_come_as_a_summary_where_one_is_asked_for() -> None:
    said = told(log(*MIXED), reasoning={"summary": "auto"})
    assert kinds(said)[3:8] == [
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
    ]
    thoughts = said[-1]["response"]["output"][0]
    assert (thoughts["summary"], thoughts["content"]) == ([{"type": "summary_text", "text": "hm"}], [])


def test_what_is_told_depends_on_no_cut_and_the_snapshot_is_the_last_of_it() -> None:
    events = log(*MIXED)
    whole = told(events)
    for cut in range(len(events) + 1):
        found = reader()
        before = [*found.begin(), *chain.from_iterable(map(found.feed, events[:cut]))]
        snapshot = Response.model_validate(found.response())
        assert snapshot.status == ("completed" if cut == len(events) else "in_progress")
        assert before == whole[: len(before)]
    assert reader().read(events) == whole[-1]["response"]


def test_one_in_the_background_waits_in_a_queue_until_it_runs() -> None:
    queued = Event(seq=1, type=EventType.STATUS, data={"state": "queued"})
    said = told([queued, *log("hi")], background=True)
    assert kinds(said)[:4] == ["created", "queued", "in_progress", "output_item.added"]
    assert [each["response"]["status"] for each in said[:3]] == ["queued", "queued", "in_progress"]
    assert reader(background=True).read([queued])["status"] == "queued"


@pytest.mark.parametrize("after", [-1, 5])
def test_texts_are_encoded_as_any_other_event_is(after: int) -> None:
    logprob = TokenLogprob(1, "p", -0.5)
    texts: list[Any] = [
        "a",
        "b",
        Delta('ü\n"', (1,)),
        Delta("p", (2,), logprobs=(logprob,)),
        "c",
        *MIXED,
        Delta("x"),
        Delta("y"),
    ]
    events = log(*texts)
    found = reader()
    list(found.begin())
    encoder = Encoder(found, after)
    said = b"".join(map(encoder.encode, events))
    wanted = [(each["type"], each) for each in json.loads(json.dumps(told(events)[2:]))]
    assert [(message.event, message.data) for message in messages(said)] == wanted[max(0, after - 1) :]
    assert found.response() == reader().read(events)


def test_an_answer_that_may_not_be_longer_is_incomplete() -> None:
    said = told(log(Delta("a", (1,)), Delta(finish_reason="length")))
    assert said[-1]["type"] == "response.incomplete"
    assert said[-1]["response"]["incomplete_details"] == {"reason": "max_output_tokens"}
    assert said[-1]["response"]["output"][-1]["status"] == "incomplete"


def test_an_empty_answer_is_an_empty_message() -> None:
    said = told(log(Delta(finish_reason="stop")))
    assert [item["content"][0]["text"] for item in said[-1]["response"]["output"]] == [""]


def test_a_handlers_result_is_a_message() -> None:
    result = Event(seq=1, type=EventType.RESULT, data={"value": {"a": 1}, "usage": USAGE})
    assert reader().read([result])["output"][0]["content"][0]["text"] == '{"a":1}'


def test_log_probabilities_wait_for_the_text_of_their_tokens() -> None:
    tokens = [TokenLogprob(1, "a", -0.5, (("a", -0.5),)), TokenLogprob(2, "b", -1.0)]
    said = told(log(Delta(tokens=(1,), logprobs=(tokens[0],)), Delta("ab", (2,), logprobs=(tokens[1],))))
    (delta,) = [each for each in said if each["type"] == "response.output_text.delta"]
    assert [token["token"] for token in delta["logprobs"]] == ["a", "b"]
    part = said[-1]["response"]["output"][0]["content"][0]
    assert part["logprobs"][0]["top_logprobs"] == [{"token": "a", "logprob": -0.5, "bytes": [97]}]


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (HandlerFailed("boom"), "failed", "server_error"),
        (ContextLengthExceeded("too long"), "failed", "invalid_prompt"),
        (InvocationCancelled("cancelled"), "cancelled", None),
    ],
)
def test_a_failure_ends_the_open_item_and_the_response(error: QuickthawError, status: str, code: str | None) -> None:
    said = told(log(Delta("hal", (1,)), error))
    assert kinds(said)[-2:] == ["output_item.done", "failed"]
    response = said[-1]["response"]
    assert response["output"][0]["status"] == "incomplete"
    assert (response["status"], (response["error"] or {}).get("code")) == (status, code)


def test_a_stream_that_breaks_says_so_under_the_next_number() -> None:
    found = reader()
    list(found.begin())
    error = found.broken(Unavailable("gone"))
    assert (error["type"], error["code"], error["sequence_number"]) == ("error", "unavailable", 2)
    EVENTS.validate_python(error)
