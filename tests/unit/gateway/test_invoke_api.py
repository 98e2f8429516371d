"""Calling functions natively: what waits, streams, repeats, is cancelled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient
from redis import Redis
from werkzeug.test import TestResponse

from quickthaw.resources import Scope
from quickthaw_platform.errors import HandlerFailed
from quickthaw_platform.settings import Settings
from quickthaw_platform.worker import commands
from tests.unit.gateway.conftest import ECHO
from tests.unit.gateway.node import FakeNode
from tests.unit.gateway.sse import Message, messages

INPUT = {"input": {"prompt": "hi"}}
BAD_TOOL = {"type": "function", "function": {"name": "f", "parameters": {"if": {}}}}
Later = Callable[[Callable[[], TestResponse]], Callable[[], TestResponse]]


def wait_for_start(node: FakeNode) -> None:
    """Wait until the gateway has asked for an instance."""
    until = _deadline()
    while not node.told(commands.START) and next(until):
        pass


def _deadline() -> Iterator[bool]:
    import time

    end = time.monotonic() + 10
    while time.monotonic() < end:
        time.sleep(0.005)
        yield True
    raise AssertionError("it did not happen within 10 s")


def test_a_call_waits_for_its_result(client: FlaskClient) -> None:
    answer = client.post("/v1/functions/chat/invoke", json=INPUT)
    assert answer.status_code == 200
    assert answer.json is not None
    assert answer.json["state"] == "succeeded"
    assert answer.json["result"] == "Hello world"
    counts = {"prompt_tokens": 3, "completion_tokens": 2, "cached_tokens": 0}
    assert answer.json["usage"] == {**counts, "original_tokens": None, "compression": None}
    assert answer.headers["x-invocation-id"] == answer.json["id"]
    assert answer.headers["x-request-id"]


def test_a_call_is_held_while_its_function_thaws(client: FlaskClient, node: FakeNode, later: Later) -> None:
    node.holding = True
    answer = later(lambda: client.post("/v1/functions/chat/invoke", json=INPUT))
    wait_for_start(node)
    node.release()
    assert answer().status_code == 200


def test_a_failed_call_has_the_true_status_and_the_invocation(client: FlaskClient, node: FakeNode) -> None:
    node.script = lambda request: [HandlerFailed("ZeroDivisionError: division by zero")]
    answer = client.post("/v1/functions/chat/invoke", json=INPUT)
    assert answer.status_code == 500
    assert answer.json == {
        "error": {
            "message": "ZeroDivisionError: division by zero",
            "type": "function_error",
            "param": None,
            "code": "handler_failed",
        }
    }
    assert answer.headers["x-should-retry"] == "false"
    info = client.get(f"/v1/invocations/{answer.headers['x-invocation-id']}").json
    assert info is not None
    assert info["state"] == "failed"


def test_a_stream_is_the_log(client: FlaskClient) -> None:
    answer = client.post("/v1/functions/chat/stream", json=INPUT)
    assert answer.content_type == "text/event-stream; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-cache"
    assert answer.headers["X-Accel-Buffering"] == "no"
    events = messages(answer.data)
    assert [event.id for event in events] == [str(n) for n in range(1, len(events) + 1)]
    assert [e.data["delta"]["text"] for e in events if e.event == "chunk"] == ["Hello", " world", ""]
    assert events[-1].event == "result"
    assert events[-1].data["value"] == "Hello world"


def test_a_stream_goes_on_behind_the_last_event(client: FlaskClient) -> None:
    headers = {"Idempotency-Key": "k1"}
    first = client.post("/v1/functions/chat/stream", json=INPUT, headers=headers)
    events = messages(first.data)
    again = client.post("/v1/functions/chat/stream", json=INPUT, headers={**headers, "Last-Event-ID": events[2].id})
    assert messages(again.data) == events[3:]
    invocation = first.headers["x-invocation-id"]
    assert again.headers["x-invocation-id"] == invocation
    rest = client.get(f"/v1/invocations/{invocation}/events", headers={"Last-Event-ID": events[-2].id or ""})
    assert messages(rest.data) == events[-1:]


@pytest.mark.parametrize("position", ["x", "-1", "1" * 30, "1.5"])
def test_a_position_that_is_none_is_refused(client: FlaskClient, position: str) -> None:
    answer = client.post("/v1/functions/chat/stream", json=INPUT, headers={"Last-Event-ID": position})
    assert answer.status_code == 400


def test_a_waiting_stream_tells_where_it_stands(client: FlaskClient, node: FakeNode) -> None:
    node.holding = True
    response = client.post("/v1/functions/chat/stream", json=INPUT, buffered=False)
    seen: list[Message] = []
    for piece in response.iter_encoded():
        seen += messages(piece)
        if seen[-1].id is None and node.holding:
            node.release()
    status = next(event for event in seen if event.id is None)
    assert status.event == "status"
    assert status.data["state"] == "queued"
    assert status.data["position"] == 1
    assert "starting" in status.data["reason"]
    assert seen[-1].event == "result"


def test_not_waiting_says_where_to_look(client: FlaskClient, node: FakeNode) -> None:
    node.holding = True
    answer = client.post("/v1/functions/chat/async", json=INPUT)
    assert answer.status_code == 202
    assert answer.json is not None
    assert answer.json["state"] == "queued"
    assert answer.json["position"] == 1
    node.release()
    ended = client.get(answer.headers["Location"])
    assert ended.json is not None
    assert ended.json["state"] == "succeeded"


def test_a_trigger_takes_the_input_as_it_is(client: FlaskClient) -> None:
    answer = client.post("/t/chat", json={"prompt": "hi"})
    assert answer.json is not None
    assert answer.json["result"] == "Hello world"


def test_the_same_key_is_the_same_call(client: FlaskClient, node: FakeNode) -> None:
    headers = {"Idempotency-Key": "once"}
    first = client.post("/v1/functions/chat/invoke", json=INPUT, headers=headers).json
    again = client.post("/v1/functions/chat/invoke", json=INPUT, headers=headers).json
    assert first == again
    assert first is not None
    assert list(node.requests) == [first["id"]]
    other = client.post("/v1/functions/chat/invoke", json={"input": {"prompt": "ho"}}, headers=headers)
    assert other.status_code == 409


def test_cancelling_ends_the_call_and_tells_the_node(
    client: FlaskClient, node: FakeNode, redis: Redis, later: Later
) -> None:
    client.post("/v1/functions/chat/invoke", json=INPUT)  # the instance is ready now
    node.holding = True
    started = client.post("/v1/functions/chat/async", json=INPUT).json
    assert started is not None
    assert started["state"] == "assigned"
    waiting = later(lambda: client.get(f"/v1/invocations/{started['id']}/events"))
    ended = client.delete(f"/v1/invocations/{started['id']}").json
    assert ended is not None
    assert ended["state"] == "cancelled"
    assert node.told(commands.CANCEL) == [{"invocation": started["id"]}]
    assert messages(waiting().data)[-1].data["error"]["code"] == "cancelled"
    again = client.delete(f"/v1/invocations/{started['id']}").json
    assert again == ended
    assert len(node.told(commands.CANCEL)) == 1


def test_closing_a_stream_cancels_its_call_and_frees_the_slot(client: FlaskClient, node: FakeNode) -> None:
    client.post("/v1/functions/chat/invoke", json=INPUT)
    node.holding = True
    response = client.post("/v1/functions/chat/stream", json=INPUT, buffered=False)
    next(iter(response.response))
    response.close()
    info = client.get(f"/v1/invocations/{response.headers['x-invocation-id']}").json
    assert info is not None
    assert info["state"] == "cancelled"
    assert all(instance.in_use == 0 for instance in node.slots.instances())


def test_closing_a_look_at_a_call_cancels_nothing(client: FlaskClient, node: FakeNode) -> None:
    node.holding = True
    started = client.post("/v1/functions/chat/async", json=INPUT).json
    assert started is not None
    response = client.get(f"/v1/invocations/{started['id']}/events", buffered=False)
    next(iter(response.response))
    response.close()
    node.release()
    info = client.get(f"/v1/invocations/{started['id']}").json
    assert info is not None
    assert info["state"] == "succeeded"


def test_only_its_own_calls_are_shown_to_a_key_that_may_only_invoke(
    client: FlaskClient, client_of: Callable[..., FlaskClient]
) -> None:
    mine, other = client_of(Scope.INVOKE), client_of(Scope.INVOKE)
    invocation = mine.post("/v1/functions/chat/invoke", json=INPUT).headers["x-invocation-id"]
    assert mine.get(f"/v1/invocations/{invocation}").status_code == 200
    assert other.get(f"/v1/invocations/{invocation}").status_code == 404
    assert other.delete(f"/v1/invocations/{invocation}").status_code == 404
    assert other.get(f"/v1/invocations/{invocation}/events").status_code == 404
    assert client.get(f"/v1/invocations/{invocation}").status_code == 200


def test_a_seed_is_drawn_once_and_kept(client: FlaskClient, node: FakeNode) -> None:
    requests: list[Any] = []
    node.script = lambda request: requests.append(request) or [{"result": request["seed"]}]  # type: ignore[func-returns-value]
    drawn = client.post("/v1/functions/chat/invoke", json=INPUT).json
    given = client.post("/v1/functions/chat/invoke", json={**INPUT, "sampling": {"seed": 7}}).json
    assert drawn is not None
    assert given is not None
    assert 0 <= drawn["result"] < 2**53
    assert given["result"] == 7
    assert requests[1] == {"input": {"prompt": "hi"}, "sampling": {"seed": 7}, "seed": 7}


def test_the_instance_gets_the_callers_chat_options(client: FlaskClient, node: FakeNode) -> None:
    requests: list[Any] = []
    node.script = lambda request: requests.append(request) or [{"result": 1}]  # type: ignore[func-returns-value]
    chat = {"tool_choice": "none", "chat_template_kwargs": {"a": None}}
    client.post("/v1/functions/chat/invoke", json={**INPUT, "chat": chat})
    client.post("/v1/functions/chat/invoke", json=INPUT)
    assert requests[0]["chat"] == chat
    assert "chat" not in requests[1]


@pytest.mark.parametrize(
    ("body", "says", "param"),
    [
        ({}, "input: Field required", "input"),
        ({"input": {"prompt": "x"}, "inptu": 1}, "inptu", "inptu"),  # unknown fields are refused here
        ({"input": {}}, "exactly one of messages, prompt and input", "input"),
        ({"input": {"prompt": "x", "messages": []}}, "input", None),
        ({"input": {"messages": "x"}}, "input.messages: 'x' is not of type 'array'", "input.messages"),
        ({"input": {"prompt": [1, -2]}}, "input.prompt.1", "input.prompt.1"),
        ({**INPUT, "sampling": {"temperature": 3}}, "sampling.temperature: Input should be less than", None),
        ({**INPUT, "sampling": {"top_p": -1}}, "sampling.top_p: Input should be greater than or equal to 0", None),
        ({**INPUT, "limits": {"total": "2h"}}, "more than the function's own 300 s", "limits.total"),
        ({**INPUT, "limits": {"total": "soon"}}, "is not a duration", "limits.total"),
        ({**INPUT, "limits": {"total": 0}}, "greater than 0", "limits.total"),
        ({**INPUT, "limits": {"first_token": "-1s"}}, "is not a duration", "limits.first_token"),
        ({**INPUT, "webhook": {"url": "file:///etc/passwd"}}, "webhook.url", "webhook.url"),
        ({**INPUT, "sampling": {"structure": {}}}, "exactly one of json_schema", "sampling.structure"),
        (
            {**INPUT, "sampling": {"structure": {"json_schema": {"properties": {"a": {"not": {}}}}}}},
            "'not' is not supported",
            "sampling.structure.json_schema.properties.a.not",
        ),
        ({**INPUT, "sampling": {"structure": {"regex": "(a"}}}, "unclosed group", "sampling.structure.regex"),
        ({**INPUT, "chat": {"tool_choice": "maybe"}}, "'none', 'auto' or 'required'", "chat.tool_choice"),
        ({**INPUT, "chat": {"tols": []}}, "chat.tols", "chat.tols"),
        ({**INPUT, "chat": {"tools": [BAD_TOOL]}}, "'if' is not supported", "chat.tools.0.function.parameters.if"),
        ({"input": {"prompt": "x", "suffix": ""}}, "input.suffix", "input.suffix"),
        ({"input": {"suffix": "x"}}, "exactly one of messages, prompt and input", "input"),
        ({"input": {"prompt": "x", "max_tokens": 4}}, "and not 'max_tokens': how an answer is generated goes", "input"),
    ],
)
def test_bad_calls_are_refused_by_field(
    client: FlaskClient, body: dict[str, Any], says: str, param: str | None
) -> None:
    answer = client.post("/v1/functions/chat/invoke", json=body)
    assert answer.status_code == 400
    assert answer.json is not None
    assert says in answer.json["error"]["message"]
    if param is not None:
        assert answer.json["error"]["param"] == param


def test_input_is_checked_against_the_handlers_parameters(client: FlaskClient, node: FakeNode) -> None:
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    spec = {
        **ECHO,
        "name": "weather",
        "source": {"f.py": "def weather(model, city): ...\n"},
        "handler": {"file": "f.py", "object": "weather", "parameters": parameters},
    }
    assert client.post("/v1/functions", json=spec).status_code == 200
    assert client.post("/t/weather", json={"city": "Oslo"}).status_code == 200
    answer = client.post("/t/weather", json={"city": 7})
    assert answer.status_code == 400
    assert answer.json is not None
    assert answer.json["error"]["message"] == "input.city: 7 is not of type 'string'"


def test_a_full_queue_says_when_to_come_back(client: FlaskClient, node: FakeNode) -> None:
    client.post("/v1/functions", json={**ECHO, "queue_size": 1})
    node.holding = True
    client.post("/v1/functions/chat/async", json=INPUT)
    answer = client.post("/v1/functions/chat/async", json=INPUT)
    assert answer.status_code == 429
    assert answer.headers["Retry-After"] == "2"
    assert answer.headers["x-should-retry"] == "true"


def test_no_node_for_a_function_is_no_capacity(client: FlaskClient, redis: Redis) -> None:
    redis.hset("qt:node:n1", "memory_bytes", "1")
    answer = client.post("/v1/functions/chat/invoke", json=INPUT)
    assert answer.status_code == 503
    assert answer.json is not None
    assert answer.json["error"]["code"] == "no_capacity"


def test_unknown_functions_and_aliases_name_the_near_ones(client: FlaskClient) -> None:
    answer = client.post("/v1/functions/chta/invoke", json=INPUT)
    assert answer.status_code == 404
    assert answer.json is not None
    assert "known: chat" in answer.json["error"]["message"]
    answer = client.post("/v1/functions/chat/invoke", json={**INPUT, "alias": "lvie"})
    assert answer.status_code == 404
    assert answer.json is not None
    assert "known: live" in answer.json["error"]["message"]


def test_a_silent_stream_is_kept_alive(client: FlaskClient, node: FakeNode, settings: Settings) -> None:
    client.post("/v1/functions/chat/invoke", json=INPUT)
    node.holding = True
    response = client.post("/v1/functions/chat/stream", json=INPUT, buffered=False)
    pulses = 0
    for piece in response.iter_encoded():
        pulses += sum(message.id is None for message in messages(piece))
        if pulses == 2 and node.holding:
            node.release()
    assert pulses >= 2
