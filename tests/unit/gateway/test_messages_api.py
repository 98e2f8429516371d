"""Anthropic's endpoints over HTTP; shapes are in test_messages_mapping and test_messages_events."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from quickthaw.generation import Delta, ToolCallDelta
from quickthaw_platform.errors import HandlerFailed, NoCapacity, StartFailed
from quickthaw_platform.worker import commands
from tests.unit.gateway.conftest import ECHO
from tests.unit.gateway.node import FakeNode, Output, words
from tests.unit.gateway.sse import messages

ASK: dict[str, Any] = {"model": "chat", "max_tokens": 50, "messages": [{"role": "user", "content": "hi"}]}
TOOL = {"name": "weather", "description": "of a city", "input_schema": {"type": "object", "properties": {}}}


def ask(client: FlaskClient, **fields: Any) -> TestResponse:
    return client.post("/v1/messages", json={**ASK, **fields})


def events(answer: TestResponse) -> list[dict[str, Any]]:
    found = messages(answer.data)
    assert all(message.event == message.data["type"] for message in found)
    return [message.data for message in found]


def calls_a_tool(request: Any) -> Iterable[Output]:
    yield Delta(tokens=(1,), reasoning="Hm.", prompt_tokens=3)
    yield Delta("Let me see.", (2,))
    yield Delta(tokens=(3,), tool_calls=(ToolCallDelta(0, "call_1", "weather", '{"city": '),))
    yield Delta(tokens=(4,), tool_calls=(ToolCallDelta(0, arguments='"Paris"}'),), finish_reason="tool_calls")


def test_a_message(client: FlaskClient) -> None:
    answer = ask(client)
    assert answer.json == {
        "id": f"msg_{answer.headers['x-invocation-id']}",
        "type": "message",
        "role": "assistant",
        "model": "chat",
        "content": [{"type": "text", "text": "Hello world"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 3,
            "output_tokens": 2,
            "cache_read_input_tokens": 0,
            "cache_creation_input_tokens": 0,
        },
    }
    assert answer.headers["request-id"] == answer.headers["x-request-id"]


def test_a_message_by_an_alias(client: FlaskClient) -> None:
    client.post("/v1/functions?alias=canary", json={**ECHO, "concurrency": 3})
    answer = ask(client, model="chat:canary")
    assert answer.json is not None
    assert answer.json["model"] == "chat:canary"


def test_a_stream(client: FlaskClient) -> None:
    answer = ask(client, stream=True)
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    told = events(answer)
    assert [event["type"] for event in told] == [
        "message_start", "content_block_start", "content_block_delta", "content_block_delta", "content_block_stop",
        "message_delta", "message_stop",
    ]  # fmt: skip
    assert told[0]["message"]["usage"]["input_tokens"] == 3
    assert "".join(event["delta"]["text"] for event in told[2:4]) == "Hello world"
    assert told[-2]["delta"] == {"stop_reason": "end_turn", "stop_sequence": None}
    assert told[-2]["usage"]["output_tokens"] == 2


def test_a_call_of_a_tool(client: FlaskClient, node: FakeNode) -> None:
    seen: list[Any] = []
    node.script = lambda request: (seen.append(request["chat"]), calls_a_tool(request))[1]  # type: ignore[func-returns-value]
    body = ask(client, tools=[TOOL], tool_choice={"type": "any"}).json
    assert body is not None
    assert [block["type"] for block in body["content"]] == ["thinking", "text", "tool_use"]
    assert body["content"][2] == {"type": "tool_use", "id": "call_1", "name": "weather", "input": {"city": "Paris"}}
    assert body["stop_reason"] == "tool_use"
    function = {"name": "weather", "description": "of a city", "parameters": TOOL["input_schema"]}
    assert seen == [{"tools": [{"type": "function", "function": function}], "tool_choice": "required"}]


def test_a_thawing_stream_tells_the_routers_estimate_with_its_pings(client: FlaskClient, node: FakeNode) -> None:
    node.holding = True
    response = client.post("/v1/messages", json={**ASK, "stream": True}, buffered=False)
    told = []
    for piece in response.iter_encoded():
        told += [message.data for message in messages(piece)]
        if sum(event["type"] == "ping" for event in told) == 2:
            node.release()
    assert [event["type"] for event in told[:2]] == ["message_start", "ping"]
    assert told[1]["quickthaw"]["state"] == "queued"
    assert told[1]["quickthaw"]["position"] == 1
    assert told[1]["quickthaw"]["estimate_seconds"] >= 0
    assert told[-1] == {"type": "message_stop"}


def test_a_start_that_fails_fails_the_stream_with_its_status(client: FlaskClient, node: FakeNode) -> None:
    node.script = lambda request: [StartFailed("weights-0.safetensors is missing")]
    answer = ask(client, stream=True)
    assert answer.status_code == 500
    assert answer.json == {
        "type": "error",
        "error": {"type": "api_error", "message": "weights-0.safetensors is missing"},
        "request_id": answer.headers["request-id"],
    }


def test_no_room_is_overload(client: FlaskClient, node: FakeNode) -> None:
    node.script = lambda request: [NoCapacity("no node can hold it")]
    answer = ask(client)
    assert answer.status_code == 529
    assert answer.json is not None
    assert answer.json["error"]["type"] == "overloaded_error"
    assert answer.headers["x-should-retry"] == "true"


def test_an_error_in_mid_stream_is_an_event(client: FlaskClient, node: FakeNode) -> None:
    def fails(request: Any) -> list[Output]:
        return [*list(words(request))[:1], HandlerFailed("boom")]

    node.script = fails
    *_, last = events(ask(client, stream=True))
    assert last["type"] == "error"
    assert last["error"] == {"type": "api_error", "message": "boom"}


@pytest.mark.parametrize(
    ("change", "status", "kind", "says"),
    [
        ({"max_tokens": None}, 400, "invalid_request_error", "max_tokens"),
        ({"model": "gpt-4"}, 404, "not_found_error", "gpt-4"),
        ({"temperature": 1.5}, 400, "invalid_request_error", "temperature"),
        ({"colour": "red"}, 400, "invalid_request_error", "colour"),
        ({"container": "c1"}, 400, "invalid_request_error", "container"),
        ({"tools": [{**TOOL, "type": "web_search_20250305"}]}, 400, "invalid_request_error", "tools.0"),
        ({"tools": [{**TOOL, "colour": "red"}]}, 400, "invalid_request_error", "tools.0.colour"),
        ({"tool_choice": {"type": "any"}}, 400, "invalid_request_error", "tool_choice"),
        ({"tools": [TOOL], "tool_choice": {"type": "tool", "name": "x"}}, 400, "invalid_request_error", "'x'"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image", "source": {}}]}]},
            400, "invalid_request_error", "messages.0.content.0: a block of type 'image'",
        ),
    ],
)  # fmt: skip
def test_what_is_refused(client: FlaskClient, change: dict[str, Any], status: int, kind: str, says: str) -> None:
    answer = ask(client, **change)
    assert answer.json is not None
    assert (answer.status_code, answer.json["type"], answer.json["error"]["type"]) == (status, "error", kind)
    assert says in answer.json["error"]["message"]


def test_without_a_key_the_error_has_anthropics_shape(client: FlaskClient) -> None:
    client.environ_base.pop("HTTP_AUTHORIZATION")
    answer = ask(client)
    assert answer.status_code == 401
    assert answer.json is not None
    assert answer.json["error"]["type"] == "authentication_error"
    assert answer.json["request_id"] == answer.headers["request-id"]


def test_tokens_are_counted_by_a_call_that_generates_nothing(client: FlaskClient, node: FakeNode) -> None:
    seen: list[Any] = []
    node.script = lambda request: (seen.append(request), [Delta(finish_reason="length", prompt_tokens=3)])[1]  # type: ignore[func-returns-value]
    body = {"model": "chat", "system": "Be brief.", "messages": ASK["messages"], "tools": [TOOL]}
    assert client.post("/v1/messages/count_tokens", json=body).json == {"input_tokens": 3}
    assert seen[0]["sampling"] == {"max_tokens": 0}
    assert seen[0]["input"]["messages"][0] == {"role": "system", "content": "Be brief."}
    assert len(seen[0]["chat"]["tools"]) == 1


def test_the_same_idempotency_key_is_the_same_message(client: FlaskClient) -> None:
    headers = {"Idempotency-Key": "k1"}
    first, second = (client.post("/v1/messages", json=ASK, headers=headers).json for _ in range(2))
    assert first is not None
    assert first == second


def test_closing_a_stream_cancels(client: FlaskClient, node: FakeNode) -> None:
    ask(client)
    node.holding = True
    response = client.post("/v1/messages", json={**ASK, "stream": True}, buffered=False)
    next(iter(response.response))
    response.close()
    assert len(node.told(commands.CANCEL)) == 1
