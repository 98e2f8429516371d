"""The OpenAI endpoints over HTTP; shapes are in test_openai_mapping and test_openai_answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from openai.types import Completion, CreateEmbeddingResponse, Model
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from quickthaw.generation import Delta, ToolCallDelta
from quickthaw_platform.errors import HandlerFailed, StartFailed
from quickthaw_platform.worker import commands
from tests.unit.gateway.conftest import ECHO
from tests.unit.gateway.node import FakeNode, Output, words
from tests.unit.gateway.sse import messages

NOT = "response_format.json_schema.schema.not"
IF = "tools.0.function.parameters.if"
CHAT: dict[str, Any] = {"model": "chat", "messages": [{"role": "user", "content": "hi"}]}


def test_chat(client: FlaskClient) -> None:
    answer = client.post("/v1/chat/completions", json=CHAT)
    body = ChatCompletion.model_validate(answer.json)
    assert body.choices[0].message.content == "Hello world"
    assert body.model == "chat"
    assert body.id == f"chatcmpl-{answer.headers['x-invocation-id']}"
    assert body.usage is not None
    assert body.usage.total_tokens == 5


def test_chat_with_choices_and_logprobs(client: FlaskClient) -> None:
    answer = client.post("/v1/chat/completions", json={**CHAT, "n": 3, "logprobs": True, "top_logprobs": 2})
    body = ChatCompletion.model_validate(answer.json)
    assert [choice.message.content for choice in body.choices] == ["Hello world"] * 3
    assert body.choices[2].logprobs is not None
    assert [token.token for token in body.choices[2].logprobs.content or ()] == ["Hello", " world"]


def test_chat_stream(client: FlaskClient) -> None:
    answer = client.post("/v1/chat/completions", json={**CHAT, "stream": True})
    *chunks, done = [message.data for message in messages(answer.data)]
    assert done == "[DONE]"
    parsed = [ChatCompletionChunk.model_validate(chunk) for chunk in chunks]
    assert "".join(c.choices[0].delta.content or "" for c in parsed) == "Hello world"
    assert parsed[0].choices[0].delta.role == "assistant"
    assert parsed[-1].choices[0].finish_reason == "stop"


def test_usage_is_streamed_where_asked_for(client: FlaskClient) -> None:
    body = {**CHAT, "stream": True, "stream_options": {"include_usage": True}}
    chunks = [message.data for message in messages(client.post("/v1/chat/completions", json=body).data)]
    assert chunks[-2]["choices"] == []
    assert chunks[-2]["usage"] == {
        "prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5, "prompt_tokens_details": {"cached_tokens": 0},
    }  # fmt: skip


def test_a_thawing_stream_has_real_chunks_before_the_first_token(client: FlaskClient, node: FakeNode) -> None:
    node.holding = True
    response = client.post("/v1/chat/completions", json={**CHAT, "stream": True}, buffered=False)
    assert response.status_code == 200
    empty = 0
    text = ""
    for piece in response.iter_encoded():
        for message in messages(piece):
            if message.data != "[DONE]":
                delta = message.data["choices"][0]["delta"]
                text += delta.get("content", "")
                empty += not delta.get("content")
        if empty == 2:
            node.release()
    assert text == "Hello world"


@pytest.mark.parametrize(
    ("path", "body"), [("chat/completions", CHAT), ("completions", {"model": "chat", "prompt": "a"})]
)
def test_a_thawing_stream_tells_the_routers_estimate(
    client: FlaskClient, node: FakeNode, path: str, body: dict[str, Any]
) -> None:
    node.holding = True
    response = client.post(f"/v1/{path}", json={**body, "stream": True}, buffered=False)
    chunks = []
    for piece in response.iter_encoded():
        chunks += [message.data for message in messages(piece) if message.data != "[DONE]"]
        if len(chunks) == 2:
            node.release()
    waits = chunks[0]["quickthaw"]
    assert (waits["state"], waits["position"]) == ("queued", 1)
    assert waits["estimate_seconds"] >= 0
    assert not any("quickthaw" in chunk for chunk in chunks[2:])


def test_a_start_that_fails_fails_the_stream_with_its_status(client: FlaskClient, node: FakeNode) -> None:
    node.script = lambda request: [StartFailed("weights-0.safetensors is missing")]
    answer = client.post("/v1/chat/completions", json={**CHAT, "stream": True})
    assert answer.status_code == 500
    assert answer.json is not None
    assert answer.json["error"]["code"] == "start_failed"
    assert answer.headers["x-should-retry"] == "false"


def test_an_error_in_mid_stream_is_an_event_and_then_done(client: FlaskClient, node: FakeNode) -> None:
    def fails(request: Any) -> list[Output]:
        return [*list(words(request))[:1], HandlerFailed("boom")]

    node.script = fails
    answer = client.post("/v1/chat/completions", json={**CHAT, "stream": True})
    assert answer.status_code == 200
    *_, error, done = [message.data for message in messages(answer.data)]
    assert error == {"error": {"message": "boom", "type": "function_error", "param": None, "code": "handler_failed"}}
    assert done == "[DONE]"


def test_several_prompts_are_several_calls_in_order(client: FlaskClient, node: FakeNode) -> None:
    node.script = lambda request: [{"result": request["input"]["prompt"].upper()}]
    body = {"model": "chat", "prompt": ["a", "b", "c"]}
    answer = Completion.model_validate(client.post("/v1/completions", json=body).json)
    assert [(choice.index, choice.text) for choice in answer.choices] == [(0, "A"), (1, "B"), (2, "C")]
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == 9
    chunks = [m.data for m in messages(client.post("/v1/completions", json={**body, "stream": True}).data)]
    assert [c["choices"][0]["text"] for c in chunks[:-1] if c["choices"][0]["text"]] == ["A", "B", "C"]


def test_prompts_that_do_not_all_fit_into_the_queue_leave_none_behind(client: FlaskClient, node: FakeNode) -> None:
    client.post("/v1/functions", json={**ECHO, "queue_size": 2})
    node.holding = True
    answer = client.post("/v1/completions", json={"model": "chat", "prompt": ["a", "b", "c"]})
    assert answer.status_code == 429
    info = client.get("/v1/functions/chat").json
    assert info is not None
    assert info["waiting"] == 0


def test_a_request_that_was_refused_for_a_full_queue_is_served_later_under_the_same_key(
    client: FlaskClient, node: FakeNode
) -> None:
    """What it had begun was cancelled: the same key must not find that again."""
    client.post("/v1/functions", json={**ECHO, "queue_size": 2})
    node.holding = True
    body, headers = {"model": "chat", "prompt": ["a", "b", "c"]}, {"Idempotency-Key": "once"}
    assert client.post("/v1/completions", json=body, headers=headers).status_code == 429
    node.release()
    client.post("/v1/functions", json={**ECHO, "queue_size": 3})
    answer = client.post("/v1/completions", json=body, headers=headers)
    assert answer.status_code == 200, answer.json
    assert len(Completion.model_validate(answer.json).choices) == 3


def test_embeddings(client: FlaskClient, node: FakeNode) -> None:
    client.post("/v1/functions", json={**ECHO, "name": "embed", "model": "tiny-embed"})
    node.script = lambda request: [{"result": [[float(len(text)), 0.5] for text in request["input"]["input"]]}]
    body = {"model": "embed", "input": ["a", "bcd"], "dimensions": 2}
    answer = CreateEmbeddingResponse.model_validate(client.post("/v1/embeddings", json=body).json)
    assert [entry.embedding for entry in answer.data] == [[1.0, 0.5], [3.0, 0.5]]
    refused = client.post("/v1/chat/completions", json={**CHAT, "model": "embed"})
    assert refused.status_code == 400
    assert refused.json is not None
    assert refused.json["error"]["code"] == "not_servable"


def test_listing_models_wakes_none(client: FlaskClient, node: FakeNode) -> None:
    listed = client.get("/v1/models").json
    assert listed is not None
    assert [Model.model_validate(card).id for card in listed["data"]] == ["chat"]
    assert listed["object"] == "list"
    assert Model.model_validate(client.get("/v1/models/chat").json).owned_by == "quickthaw"
    assert client.get("/v1/models/chat:live").status_code == 200
    assert client.get("/v1/models/chat:nope").status_code == 404
    missing = client.get("/v1/models/gpt-4").json
    assert missing is not None
    assert missing["error"]["code"] == "model_not_found"
    assert node.sent == []


@pytest.mark.parametrize("model", ["gpt-4", "", "chat:nope", "chat:"])
def test_a_model_that_is_not_there_is_named_by_the_field_that_was_sent(client: FlaskClient, model: str) -> None:
    for path, body in (("chat/completions", CHAT), ("completions", {"prompt": "a"}), ("responses", {"input": "a"})):
        answer = client.post(f"/v1/{path}", json={**body, "model": model})
        assert answer.status_code == 404
        assert answer.json is not None
        assert answer.json["error"]["param"] == "model"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"messages": []}, "messages"),
        ({"temperature": 9}, "temperature"),
        ({"n": 0}, "n:"),
        ({"stop": ["x"] * 129}, "stop"),
        ({"n": 129}, "n:"),
        ({"top_p": -0.1}, "top_p"),
        ({"max_tokens": -2}, "max_tokens"),
        ({"top_logprobs": 3}, "top_logprobs"),
    ],
)
def test_bad_chat_requests(client: FlaskClient, change: dict[str, Any], says: str) -> None:
    answer = client.post("/v1/chat/completions", json={**CHAT, **change})
    assert answer.status_code == 400
    assert answer.json is not None
    assert says in answer.json["error"]["message"]
    assert answer.json["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"tool_choice": "foo"}, "tool_choice"),  # the path is the caller's, without names of types
        ({"messages": [{"role": "user", "content": [{"text": "a"}]}]}, "messages.0.content"),
        ({"response_format": {"type": "x"}}, "response_format.type"),
        ({"frobnicate": 1}, "frobnicate"),
        ({"audio": {"voice": "x"}}, "audio"),
        ({"logit_bias": {"1": 101}}, "logit_bias.1"),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"not": {}}}}}, NOT),
        ({"tools": [{"type": "function", "function": {"name": "f", "parameters": {"if": {}}}}]}, IF),
    ],
)
def test_what_is_refused_is_named(client: FlaskClient, change: dict[str, Any], param: str) -> None:
    answer = client.post("/v1/chat/completions", json={**CHAT, **change})
    assert answer.status_code == 400
    assert answer.json is not None
    assert answer.json["error"]["param"] == param
    assert param.rpartition(".")[2] in answer.json["error"]["message"]


def test_calls_are_streamed(client: FlaskClient, node: FakeNode) -> None:
    node.script = lambda _: [
        Delta(tool_calls=(ToolCallDelta(0, "call_1", "f"),)),
        Delta(tool_calls=(ToolCallDelta(0, arguments="{}"),)),
        Delta(finish_reason="tool_calls"),
    ]
    tools = [{"type": "function", "function": {"name": "f"}}]
    answer = client.post("/v1/chat/completions", json={**CHAT, "tools": tools, "stream": True})
    deltas = [m.data["choices"][0]["delta"] for m in messages(answer.data) if m.data != "[DONE]"]
    assert [call["function"]["arguments"] for delta in deltas for call in delta.get("tool_calls", ())] == ["", "{}"]


def test_the_instance_gets_options_and_structure(client: FlaskClient, node: FakeNode) -> None:
    requests: list[Any] = []

    def keep(request: Any) -> list[Output]:
        requests.append(request)
        return ["1"]

    node.script = keep
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    body = {**CHAT, "tools": tools, "tool_choice": "none", "guided_json": {"type": "integer"}, "logit_bias": {"5": 1}}
    assert client.post("/v1/chat/completions", json=body).status_code == 200
    assert requests[0]["chat"] == {"tools": tools, "tool_choice": "none"}
    assert requests[0]["sampling"] == {"structure": {"json_schema": {"type": "integer"}}, "logit_bias": {"5": 1.0}}


def test_the_best_of_several_is_answered_without_the_likelihoods_that_nobody_asked_for(client: FlaskClient) -> None:
    answer = client.post("/v1/completions", json={"model": "chat", "prompt": "a", "best_of": 3})
    body = Completion.model_validate(answer.json)
    assert len(body.choices) == 1
    assert body.choices[0].logprobs is None
    assert body.usage is not None
    assert body.usage.completion_tokens == 6


def test_a_function_by_its_alias(client: FlaskClient, node: FakeNode) -> None:
    client.post("/v1/functions?alias=canary", json={**ECHO, "concurrency": 3})
    answer = client.post("/v1/chat/completions", json={**CHAT, "model": "chat:canary"})
    assert answer.status_code == 200
    instances = {view.concurrency for view in node.slots.instances()}
    assert instances == {3}


def test_closing_a_stream_cancels(client: FlaskClient, node: FakeNode, client_of: Callable[..., FlaskClient]) -> None:
    client.post("/v1/chat/completions", json=CHAT)
    node.holding = True
    response = client.post("/v1/chat/completions", json={**CHAT, "stream": True}, buffered=False)
    next(iter(response.response))
    response.close()
    assert len(node.told(commands.CANCEL)) == 1
