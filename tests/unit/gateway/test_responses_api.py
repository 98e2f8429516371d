"""Responses over HTTP; what events and items look like is in test_response_events and test_response_items."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient
from openai.types.responses import Response, ResponseItemList, ResponseStreamEvent
from pydantic import TypeAdapter
from redis import Redis
from werkzeug.test import TestResponse

from quickthaw.generation import Delta, ToolCallDelta
from quickthaw.resources import Scope
from quickthaw_platform.errors import HandlerFailed
from tests.unit.gateway.node import FakeNode, Output
from tests.unit.gateway.sse import messages

ASKED: dict[str, Any] = {"model": "chat", "input": "hi"}
WEATHER = {"type": "function", "name": "weather", "parameters": {"type": "object"}}
EVENTS: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)


def create(client: FlaskClient, **fields: Any) -> Response:
    """Make a response that must succeed."""
    answer = client.post("/v1/responses", json={**ASKED, **fields})
    assert answer.status_code == 200, answer.text
    return Response.model_validate(answer.json)


def retrieve(client: FlaskClient, identity: str) -> Response:
    return Response.model_validate(client.get(f"/v1/responses/{identity}").json)


def told(answer: TestResponse) -> list[Any]:
    """Return the events of a stream, each checked to be what OpenAI's own types say."""
    found = messages(answer.data)
    assert all(message.event == message.data["type"] for message in found)
    return [EVENTS.validate_python(message.data) for message in found]


def input_of(node: FakeNode, invocation: str) -> list[dict[str, Any]]:
    """Return the messages that the function was given."""
    found: list[dict[str, Any]] = node.requests[invocation]["input"]["messages"]
    return found


def refused(client: FlaskClient, **fields: Any) -> str | None:
    """Send what must be refused; returns the field that is named."""
    answer = client.post("/v1/responses", json={**ASKED, **fields})
    assert answer.status_code == 400, answer.text
    assert answer.json is not None
    found: str | None = answer.json["error"]["param"]
    return found


def test_a_text_is_answered_by_a_message(client: FlaskClient, node: FakeNode) -> None:
    answer = client.post("/v1/responses", json={**ASKED, "instructions": "Be brief", "metadata": {"a": "b"}})
    body = Response.model_validate(answer.json)
    assert body.id == f"resp_{answer.headers['x-invocation-id']}"
    assert (body.status, body.output_text, body.instructions) == ("completed", "Hello world", "Be brief")
    assert body.metadata == {"a": "b"}
    assert body.usage is not None
    assert (body.usage.input_tokens, body.usage.output_tokens, body.usage.total_tokens) == (3, 2, 5)
    assert input_of(node, answer.headers["x-invocation-id"]) == [
        {"role": "system", "content": "Be brief"},
        {"role": "user", "content": "hi"},
    ]


def test_what_was_answered_is_retrieved_as_it_was(client: FlaskClient) -> None:
    made = create(client, metadata={"a": "b"}, temperature=0.5)
    assert retrieve(client, made.id) == made


def test_an_answer_that_may_not_be_longer_is_incomplete(client: FlaskClient) -> None:
    made = create(client, max_output_tokens=1)
    assert made.status == "incomplete"
    assert made.incomplete_details is not None
    assert made.incomplete_details.reason == "max_output_tokens"


def test_log_probabilities_come_where_they_are_included(client: FlaskClient) -> None:
    made = create(client, include=["message.output_text.logprobs"], top_logprobs=2)
    assert made.output[0].type == "message"
    part = made.output[0].content[0]
    assert part.type == "output_text"
    assert [token.token for token in part.logprobs or ()] == ["Hello", " world"]
    assert refused(client, top_logprobs=2) == "top_logprobs"


def test_a_stream_tells_the_whole_response_in_numbered_events(client: FlaskClient) -> None:
    answer = client.post("/v1/responses", json={**ASKED, "stream": True})
    events = told(answer)
    assert [event.type for event in events] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [event.sequence_number for event in events] == list(range(10))
    assert events[-1].response == retrieve(client, events[0].response.id)


def test_a_stream_goes_on_behind_any_of_its_events(client: FlaskClient) -> None:
    whole = messages(client.post("/v1/responses", json={**ASKED, "stream": True}).data)
    path = f"/v1/responses/{whole[0].data['response']['id']}?stream=true"
    assert messages(client.get(path).data) == whole
    for number in range(len(whole)):
        assert messages(client.get(f"{path}&starting_after={number}").data) == whole[number + 1 :]
    assert client.get(path.replace("stream=true", "starting_after=1")).status_code == 400


def test_a_thawing_stream_has_comments_and_no_number_is_lost(client: FlaskClient, node: FakeNode) -> None:
    node.holding = True
    response = client.post("/v1/responses", json={**ASKED, "stream": True}, buffered=False)
    body, comments = b"", 0
    for piece in response.iter_encoded():
        body += piece
        comments += piece.startswith(b":")
        if comments == 2:
            node.release()
    assert [message.data["sequence_number"] for message in messages(body)] == list(range(10))


def test_a_waiting_streams_comments_carry_the_estimate(client: FlaskClient, node: FakeNode) -> None:
    node.holding = True
    response = client.post("/v1/responses", json={**ASKED, "stream": True}, buffered=False)
    comments = [piece for piece in _until_it_goes_on(response, node) if piece.startswith(b": ")]
    assert json.loads(comments[0][2:])["quickthaw"]["state"] == "queued"


def _until_it_goes_on(response: TestResponse, node: FakeNode) -> Iterator[bytes]:
    for piece in response.iter_encoded():
        yield piece
        if piece.startswith(b": "):
            node.release()


def test_the_tokens_of_an_input_are_counted_without_an_answer(client: FlaskClient, node: FakeNode) -> None:
    answer = client.post("/v1/responses/input_tokens", json={**ASKED, "instructions": "Be brief"})
    assert answer.json == {"object": "response.input_tokens", "input_tokens": 3}
    assert node.requests[answer.headers["x-invocation-id"]]["sampling"] == {"max_tokens": 0}


def test_fields_of_other_servers_mean_what_they_mean_in_chats(client: FlaskClient, node: FakeNode) -> None:
    made = create(client, seed=7, top_k=-1, min_p=0.1, stop="x", truncation="auto", parallel_tool_calls=False)
    request = node.requests[made.id.removeprefix("resp_")]
    wanted = {"top_k": 0, "min_p": 0.1, "stop": ["x"], "truncate_prompt_tokens": -1}
    assert wanted.items() <= request["sampling"].items()
    assert request["seed"] == 7


def test_a_call_that_fails_at_once_has_its_true_status_and_is_remembered(client: FlaskClient, node: FakeNode) -> None:
    node.script = lambda request: [HandlerFailed("boom")]
    for stream in (False, True):
        answer = client.post("/v1/responses", json={**ASKED, "stream": stream})
        assert answer.status_code == 500
        found = retrieve(client, f"resp_{answer.headers['x-invocation-id']}")
        assert (found.status, found.error and found.error.message) == ("failed", "boom")


def test_an_error_in_mid_stream_fails_the_response(client: FlaskClient, node: FakeNode) -> None:
    node.script = lambda request: [Delta("Hel", (1,)), HandlerFailed("boom")]
    *_, item, failed = told(client.post("/v1/responses", json={**ASKED, "stream": True}))
    assert (item.type, item.item.status) == ("response.output_item.done", "incomplete")
    assert (failed.type, failed.response.error.message) == ("response.failed", "boom")


def test_the_conversation_goes_on_but_its_instructions_do_not(client: FlaskClient, node: FakeNode) -> None:
    first = create(client, instructions="Be brief")
    second = create(client, input="and?", previous_response_id=first.id)
    third = create(client, input="so?", previous_response_id=second.id, instructions="Be rude")
    assert input_of(node, third.id.removeprefix("resp_")) == [
        {"role": "system", "content": "Be rude"},
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "Hello world"},
        {"role": "user", "content": "and?"},
        {"role": "assistant", "content": "Hello world"},
        {"role": "user", "content": "so?"},
    ]
    assert third.previous_response_id == second.id


def test_calls_of_tools_go_to_the_caller_and_what_they_return_comes_back(client: FlaskClient, node: FakeNode) -> None:
    def calls(request: Any) -> list[Output]:
        call = ToolCallDelta(0, "call_123456789", "weather", '{"city": ')
        return [Delta(tool_calls=(call,)), Delta(tool_calls=(ToolCallDelta(0, arguments='"Bonn"}'),))]

    node.script = calls
    first = create(client, tools=[WEATHER])
    call = first.output[0]
    assert call.type == "function_call"
    assert (call.call_id, call.name, call.arguments) == ("call_123456789", "weather", '{"city": "Bonn"}')
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}
    second = create(client, input=[result], previous_response_id=first.id, tools=[WEATHER])
    asked, called, returned = input_of(node, second.id.removeprefix("resp_"))
    assert asked["role"] == "user"
    assert called["tool_calls"][0]["function"] == {"name": "weather", "arguments": '{"city": "Bonn"}'}
    assert returned == {"role": "tool", "tool_call_id": call.call_id, "content": "rain"}


def test_an_item_is_referred_to_by_its_id(client: FlaskClient, node: FakeNode) -> None:
    first = create(client)
    said = first.output[0].id or ""
    second = create(client, input=[{"type": "item_reference", "id": said}, {"role": "user", "content": "and?"}])
    assert input_of(node, second.id.removeprefix("resp_"))[0] == {"role": "assistant", "content": "Hello world"}
    answer = client.post("/v1/responses", json={**ASKED, "input": [{"type": "item_reference", "id": "msg_x_0"}]})
    assert answer.status_code == 404
    assert refused(client, input=[{"type": "item_reference", "id": said.removesuffix("_0") + "_7"}]) == "input.0.id"


def test_input_items_are_listed_page_by_page(client: FlaskClient) -> None:
    first = create(client)
    second = create(client, input="and?", previous_response_id=first.id)
    path = f"/v1/responses/{second.id}/input_items"
    everything = ResponseItemList.model_validate(client.get(f"{path}?order=asc").json)
    assert [item.type for item in everything.data] == ["message"] * 3
    assert everything.data[1].id == first.output[0].id
    assert not everything.has_more
    latest = ResponseItemList.model_validate(client.get(f"{path}?limit=2").json)
    assert [item.id for item in latest.data] == [item.id for item in everything.data[:0:-1]]
    assert latest.has_more
    rest = ResponseItemList.model_validate(client.get(f"{path}?after={latest.last_id}").json)
    assert [item.id for item in rest.data] == [everything.data[0].id]
    assert client.get(f"{path}?after=gone").status_code == 404


def test_one_in_the_background_is_answered_at_once_and_goes_on(client: FlaskClient, node: FakeNode) -> None:
    node.holding = True
    made = create(client, background=True)
    assert (made.status, made.output) == ("queued", [])
    assert retrieve(client, made.id).status in ("queued", "in_progress")
    early = client.post("/v1/responses", json={**ASKED, "previous_response_id": made.id})
    assert early.status_code == 400
    node.release()
    done = retrieve(client, made.id)
    assert (done.status, done.output_text, done.background) == ("completed", "Hello world", True)
    events = told(client.get(f"/v1/responses/{made.id}?stream=true"))
    assert [event.type for event in events][:3] == ["response.created", "response.queued", "response.in_progress"]
    assert events[-1].response == done


def test_one_in_the_background_is_cancelled_once(client: FlaskClient, node: FakeNode) -> None:
    node.holding = True
    made = create(client, background=True)
    for _ in range(2):  # the second changes nothing
        answer = client.post(f"/v1/responses/{made.id}/cancel")
        assert Response.model_validate(answer.json).status == "cancelled"
    assert told(client.get(f"/v1/responses/{made.id}?stream=true"))[-1].response.status == "cancelled"


def test_only_one_in_the_background_can_be_cancelled(client: FlaskClient) -> None:
    assert client.post(f"/v1/responses/{create(client).id}/cancel").status_code == 400


def test_what_is_not_stored_cannot_be_retrieved(client: FlaskClient, redis: Redis) -> None:
    made = create(client, store=False)
    assert client.get(f"/v1/responses/{made.id}").status_code == 404
    assert not redis.keys("qt:stored:*")
    assert refused(client, store=False, background=True) == "background"


def test_a_deleted_response_is_gone_with_its_invocation(client: FlaskClient) -> None:
    made = create(client)
    answer = client.delete(f"/v1/responses/{made.id}")
    assert answer.json == {"id": made.id, "object": "response", "deleted": True}
    assert client.get(f"/v1/responses/{made.id}").status_code == 404
    assert client.delete(f"/v1/responses/{made.id}").status_code == 404
    assert client.get(f"/v1/invocations/{made.id.removeprefix('resp_')}").status_code == 404


def test_another_key_finds_nothing_and_an_admin_everything(
    client: FlaskClient, client_of: Callable[..., FlaskClient]
) -> None:
    owner, stranger = client_of(Scope.INVOKE), client_of(Scope.INVOKE)
    made = create(owner, background=True)
    path = f"/v1/responses/{made.id}"
    for call in (stranger.get, stranger.delete):
        assert call(path).status_code == 404
    assert stranger.post(f"{path}/cancel").status_code == 404
    assert stranger.get(f"{path}/input_items").status_code == 404
    assert stranger.post("/v1/responses", json={**ASKED, "previous_response_id": made.id}).status_code == 404
    assert retrieve(client, made.id).id == made.id
    assert retrieve(owner, made.id).id == made.id


def test_the_same_idempotency_key_finds_the_same_response(client: FlaskClient, node: FakeNode) -> None:
    first, second = (
        client.post("/v1/responses", json=ASKED, headers={"Idempotency-Key": "once"}).json for _ in range(2)
    )
    assert first is not None
    assert second is not None
    assert first["id"] == second["id"]
    assert first["output"] == second["output"]


def test_it_is_kept_for_as_long_as_stored_ttl_says(client: FlaskClient, redis: Redis) -> None:
    kept, other = create(client), create(client, store=False)
    hour_ms = 3_600_000
    assert 0 < redis.pttl(f"qt:inv:{other.id.removeprefix('resp_')}") <= hour_ms
    assert redis.pttl(f"qt:inv.log:{kept.id.removeprefix('resp_')}") > hour_ms


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"conversation": "conv_1"}, "conversation"),
        ({"prompt": {"id": "p"}}, "prompt"),
        ({"moderation": {"model": "m"}}, "moderation"),
        ({"invented": 1}, "invented"),
        ({"max_tokens": 3}, "max_tokens"),
        ({"n": 2}, "n"),
        ({"context_management": [{"type": "compaction"}]}, "context_management"),
        ({"top_k": -5}, "top_k"),
        ({"tools": [{"type": "function", "name": "f", "parameters": 1}]}, "tools.0.parameters"),
        ({"tools": [WEATHER], "tool_choice": {"type": "function", "name": "g"}}, "tool_choice"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type"),
        ({"text": {"verbosity": "low"}}, "text.verbosity"),
        ({"text": {"invented": 1}}, "text.invented"),
        ({"reasoning": {"invented": 1}}, "reasoning.invented"),
        ({"include": ["thoughts"]}, "include"),
        ({"stream_options": {"invented": True}}, "stream_options.invented"),
        ({"tools": [{"type": "web_search"}]}, "tools.0.type"),
        ({"tools": [{"type": "function"}]}, "tools.0.name"),
        ({"tool_choice": {"type": "file_search"}}, "tool_choice.type"),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "input.0.content.0.type"),
        ({"input": [{"role": "robot", "content": "hi"}]}, "input.0.role"),
        ({"input": [{"type": "mcp_call"}]}, "input.0.type"),
        ({"input": [{"type": "function_call", "name": "f"}]}, "input.0.call_id"),
        ({"input": [{"type": "function_call_output", "call_id": "c"}]}, "input.0.output"),
        ({"input": [{"type": "item_reference"}]}, "input.0.id"),
        ({"input": []}, "input"),
        ({"input": None}, "input"),
        ({"metadata": {str(n): "" for n in range(17)}}, "metadata"),
        ({"metadata": {"a": "b" * 513}}, "metadata"),
        ({"temperature": 3}, "temperature"),
    ],
)
def test_what_is_not_served_is_refused_by_its_name(client: FlaskClient, fields: dict[str, Any], param: str) -> None:
    assert refused(client, **fields) == param


@pytest.mark.parametrize(
    "fields",
    [
        {"user": "u", "safety_identifier": "s", "prompt_cache_key": "k", "max_tool_calls": 3},
        {"service_tier": "auto", "text": {"verbosity": "medium"}, "reasoning": {"summary": "auto"}},
        {"include": ["reasoning.encrypted_content"], "stream_options": {"include_obfuscation": False}},
        {"prompt_cache_retention": "24h", "conversation": None, "context_management": [], "n": 1},
    ],
)
def test_what_changes_nothing_passes(client: FlaskClient, fields: dict[str, Any]) -> None:
    assert create(client, **fields).status == "completed"


def test_what_openai_describes_without_null_is_told_only_where_it_was_sent(client: FlaskClient) -> None:
    sent = {"safety_identifier": "s", "prompt_cache_key": "k"}
    assert create(client, **sent).model_dump(include=set(sent)) == sent
    assert not create(client).model_fields_set & sent.keys()
