"""Prompts that are shortened on their way in: by every API, once, and told in the usage."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from flask_openapi3.openapi import OpenAPI
from werkzeug.test import TestResponse

from quickthaw.errors import HandlerFailed
from quickthaw.types import FunctionSpec
from quickthaw_platform.gateway.services import EXTENSION
from tests.unit.gateway.conftest import ECHO
from tests.unit.gateway.node import FakeNode
from tests.unit.gateway.sse import messages
from tests.unit.gateway.test_compressed_texts import CONTEXT, LONG, QUESTION

MESSAGES = [{"role": "system", "content": LONG}, {"role": "user", "content": CONTEXT}]
NATIVE = "/v1/functions/chat/invoke"

APIS: dict[str, tuple[str, dict[str, Any]]] = {
    "native": (NATIVE, {"input": {"messages": MESSAGES}}),
    "chat": ("/v1/chat/completions", {"model": "chat", "messages": MESSAGES}),
    "completions": ("/v1/completions", {"model": "chat", "prompt": CONTEXT}),
    "responses": ("/v1/responses", {"model": "chat", "input": CONTEXT, "instructions": LONG}),
    "messages": (
        "/v1/messages",
        {"model": "chat", "max_tokens": 9, "system": LONG, "messages": [{"role": "user", "content": CONTEXT}]},
    ),
}
COMPRESSOR = {
    "name": "shorter",
    "model": "tiny",
    "engine": "echo",
    "source": {"f.py": "def f(model, text, ratio=None, budget=None, question=None): ..."},
    "handler": {
        "file": "f.py",
        "object": "f",
        "parameters": {"type": "object", "properties": {"text": {}, "ratio": {}}},
    },
}


@pytest.fixture
def post(client: FlaskClient, node: FakeNode) -> Callable[..., tuple[TestResponse, dict[str, Any]]]:
    """Send a request, with an instance there; returns the answer and the call's stored request."""

    def call(api: str, /, **fields: Any) -> tuple[TestResponse, dict[str, Any]]:
        path, body = APIS[api]
        answer = client.post(path, json={**body, **fields})
        assert answer.status_code == 200, answer.text
        return answer, node.requests[answer.headers["x-invocation-id"]]

    return call


def last_text(request: dict[str, Any]) -> str:
    input = request["input"]
    return str(input["prompt"] if "prompt" in input else input["messages"][-1]["content"])


@pytest.mark.parametrize("api", APIS)
def test_every_api_sends_the_shorter_prompt_with_its_question(api: str, post: Any) -> None:
    _, request = post(api, compress=0.5)
    assert len(last_text(request)) < 0.7 * len(CONTEXT)
    assert last_text(request).endswith(QUESTION)
    if "messages" in request["input"]:
        assert request["input"]["messages"][0] == MESSAGES[0]
    assert request["compression"]["reason"] == "compressed"
    assert [text for _, text in request["compression"]["originals"]] == [CONTEXT]


@pytest.mark.parametrize("api", APIS)
def test_nothing_is_touched_or_told_where_nobody_asks_for_it(api: str, post: Any) -> None:
    answer, request = post(api)
    assert last_text(request) == CONTEXT
    assert "compression" not in request
    assert "original" not in answer.text.replace('"original_tokens":null', "")


def usage_of(api: str, answer: TestResponse) -> tuple[int, int, str]:
    """Return the sent and the original tokens, and what is said of the compression."""
    usage = answer.get_json()["usage"]
    if api == "native":
        return usage["prompt_tokens"], usage["original_tokens"], usage["compression"]
    if api == "messages":
        return usage["input_tokens"], usage["original_input_tokens"], usage["compression"]
    name = "input_tokens" if api == "responses" else "prompt_tokens"
    details = usage[f"{name}_details"]
    return usage[name], details["original_tokens"], details["compression"]


@pytest.mark.parametrize("api", APIS)
def test_the_usage_has_what_was_sent_and_what_would_have_been(api: str, post: Any) -> None:
    answer, request = post(api, compress=0.5)
    saved = len(CONTEXT.split()) - len(last_text(request).split())
    assert usage_of(api, answer) == (3, 3 + saved, "compressed")
    assert saved > 0


def test_a_stream_ends_with_both_counts(client: FlaskClient) -> None:
    path, body = APIS["chat"]
    answer = client.post(
        path, json={**body, "compress": 0.5, "stream": True, "stream_options": {"include_usage": True}}
    )
    details = messages(answer.data)[-2].data["usage"]["prompt_tokens_details"]
    assert details["original_tokens"] > 3


def test_the_functions_own_setting_holds_unless_the_caller_says_otherwise(client: FlaskClient, post: Any) -> None:
    assert client.post("/v1/functions", json={**ECHO, "compress": 0.5}).status_code == 200
    _, own = post("chat")
    _, off = post("chat", compress=False)
    _, harder = post("chat", compress={"ratio": 0.3})
    assert len(last_text(own)) < len(CONTEXT)
    assert last_text(off) == CONTEXT
    assert len(last_text(harder)) < len(last_text(own))


def test_a_trigger_has_the_functions_own_setting(client: FlaskClient, node: FakeNode) -> None:
    client.post("/v1/functions", json={**ECHO, "compress": 0.5})
    answer = client.post("/t/chat", json={"prompt": CONTEXT})
    assert len(last_text(node.requests[answer.headers["x-invocation-id"]])) < len(CONTEXT)


def test_a_budget_is_kept(post: Any) -> None:
    _, request = post("completions", compress={"budget": 30})
    assert len(last_text(request).split()) <= 30


@pytest.mark.parametrize(
    ("path", "body"),
    [
        pytest.param("/v1/completions", {"model": "chat", "prompt": [1, 2]}, id="token ids"),
        pytest.param("/v1/completions", {"model": "chat", "prompt": CONTEXT, "echo": True}, id="echo"),
        pytest.param("/v1/completions", {"model": "chat", "prompt": CONTEXT, "suffix": "x"}, id="suffix"),
        pytest.param("/v1/embeddings", {"model": "embed", "input": LONG}, id="embeddings"),
        pytest.param("/v1/functions/embed/invoke", {"input": {"input": LONG}}, id="native embedding"),
    ],
)
def test_where_it_makes_no_sense_it_is_refused_by_name(client: FlaskClient, path: str, body: dict[str, Any]) -> None:
    client.post("/v1/functions", json={**ECHO, "name": "embed", "model": "tiny-embed"})
    answer = client.post(path, json={**body, "compress": 0.5})
    assert answer.status_code == 400
    assert answer.get_json()["error"]["param"] == "compress"
    assert client.post(path, json={**body, "compress": False}).status_code != 400


@pytest.mark.parametrize("value", [0, 1.5, True, "half", {"ratio": 0.5, "budget": 5}, {"by": "frequency"}])
@pytest.mark.parametrize("api", APIS)
def test_a_setting_that_is_none_is_refused_by_name(client: FlaskClient, api: str, value: object) -> None:
    path, body = APIS[api]
    answer = client.post(path, json={**body, "compress": value})
    assert answer.status_code == 400
    error = answer.get_json()["error"]
    assert (error.get("param") or error["message"]).startswith("compress")


@pytest.mark.parametrize(("fields", "reason"), [({"prompt": [1, 2]}, "token_ids"), ({"echo": True}, "exact")])
def test_the_functions_own_setting_passes_over_what_has_to_stay(
    client: FlaskClient, post: Any, fields: dict[str, Any], reason: str
) -> None:
    client.post("/v1/functions", json={**ECHO, "compress": 0.5})
    answer, request = post("completions", **fields)
    assert usage_of("completions", answer) == (3, 3, reason)
    assert request["input"]["prompt"] == fields.get("prompt", CONTEXT)


def test_a_prompt_that_is_short_says_so(post: Any) -> None:
    answer, _ = post("completions", prompt="hi", compress=0.5)
    assert usage_of("completions", answer) == (3, 3, "short")


def test_an_idempotency_key_goes_by_what_the_caller_sent(client: FlaskClient) -> None:
    path, body = APIS["completions"]
    headers = {"Idempotency-Key": "once"}
    first = client.post(path, json={**body, "compress": 0.5}, headers=headers)
    again = client.post(path, json={**body, "compress": 0.5}, headers=headers)
    assert first.get_json()["id"] == again.get_json()["id"]
    assert client.post(path, json={**body, "compress": 0.4}, headers=headers).status_code == 409
    assert (
        client.post(path, json={**body, "prompt": CONTEXT + "?", "compress": 0.5}, headers=headers).status_code == 409
    )


def test_a_stored_response_goes_on_with_the_whole_conversation(post: Any) -> None:
    first, _ = post("responses", compress=0.5)
    _, request = post("responses", previous_response_id=first.get_json()["id"], input="And then?", compress=False)
    assert CONTEXT in [message["content"] for message in request["input"]["messages"]]


def test_a_handler_that_has_the_argument_has_it_for_itself(client: FlaskClient, node: FakeNode) -> None:
    handler = {"file": "f.py", "object": "f", "parameters": {"properties": {"messages": {}, "compress": {}}}}
    spec = {**ECHO, "handler": handler, "source": {"f.py": "def f(model, messages, compress): ..."}}
    assert client.post("/v1/functions", json=spec).status_code == 200
    path, body = APIS["chat"]
    answer = client.post(path, json={**body, "compress": 0.5})
    request = node.requests[answer.headers["x-invocation-id"]]
    assert last_text(request) == CONTEXT
    assert "compress" in request["input"]


def test_a_function_without_text_in_its_prompts_cannot_be_deployed_with_it(client: FlaskClient) -> None:
    spec = {**COMPRESSOR, "compress": 0.5}
    answer = client.post("/v1/functions", json=spec)
    assert answer.status_code == 400
    assert "messages" in answer.get_json()["error"]["message"]


def by(answer_with: Callable[[str], Any]) -> Callable[[Any], list[Any]]:
    """Return a script in which the compressor answers so, and every other function greets."""

    def script(request: dict[str, Any]) -> list[Any]:
        text = request["input"].get("text")
        return ["hi"] if text is None else [answer_with(text)]

    return script


def test_a_function_may_say_what_is_left_out(client: FlaskClient, node: FakeNode, post: Any) -> None:
    client.post("/v1/functions", json=COMPRESSOR)
    node.script = by(lambda text: {"result": {"text": text.replace("it talked about ", ""), "reason": "compressed"}})
    answer, request = post("chat", compress={"ratio": 0.9, "by": "shorter"})
    assert last_text(request) == CONTEXT.replace("it talked about ", "")
    assert usage_of("chat", answer) == (3, 6, "compressed")


def test_a_function_that_leaves_nothing_out_says_why(client: FlaskClient, node: FakeNode, post: Any) -> None:
    client.post("/v1/functions", json=COMPRESSOR)
    node.script = by(lambda text: {"result": {"text": text, "reason": "no_gain"}})
    answer, _ = post("chat", compress={"ratio": 0.5, "by": "shorter"})
    assert usage_of("chat", answer) == (3, 3, "no_gain")


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        ({"result": {"text": "The moon is made of cheese."}}, "not_a_subsequence"),
        ({"result": {"text": ""}}, "empty"),
        ({"result": {"texts": []}}, "compressor_failed"),
        (HandlerFailed("no"), "compressor_failed"),
    ],
)
def test_a_function_that_breaks_the_rules_changes_nothing(
    client: FlaskClient, node: FakeNode, post: Any, outcome: Any, reason: str
) -> None:
    client.post("/v1/functions", json=COMPRESSOR)
    node.script = by(lambda _: outcome)
    answer, request = post("chat", compress={"ratio": 0.5, "by": "shorter"})
    assert last_text(request) == CONTEXT
    assert usage_of("chat", answer) == (3, 3, reason)


def test_a_function_that_is_not_there_is_named(client: FlaskClient) -> None:
    path, body = APIS["chat"]
    answer = client.post(path, json={**body, "compress": {"ratio": 0.5, "by": "nobody"}})
    assert answer.status_code == 400
    error = answer.get_json()["error"]
    assert error["param"] == "compress.by"
    assert "deploy functions/compress" in error["message"]


@pytest.mark.parametrize("api", APIS)
def test_a_ratio_that_is_none_is_named(client: FlaskClient, api: str) -> None:
    path, body = APIS[api]
    error = client.post(path, json={**body, "compress": {"ratio": 7}}).get_json()["error"]
    assert error["message"] == "compress.ratio: Input should be less than 1"


def test_a_function_that_takes_no_text_is_refused(client: FlaskClient) -> None:
    path, body = APIS["chat"]
    answer = client.post(path, json={**body, "compress": {"ratio": 0.5, "by": "chat"}})
    assert answer.get_json()["error"]["param"] == "compress.by"


def test_the_specification_says_it_as_it_was_written() -> None:
    spec = FunctionSpec.model_validate({**ECHO, "compress": 0.5})
    assert FunctionSpec.model_validate_json(spec.model_dump_json()) == spec
    assert json.loads(spec.model_dump_json())["compress"] == {"ratio": 0.5, "budget": None, "by": "frequency"}


def test_no_process_is_started_for_prompts_that_are_not_compressed(app: OpenAPI, post: Any) -> None:
    shortener = app.extensions[EXTENSION].shortener
    shortener.close()
    post("chat", messages=[{"role": "user", "content": LONG * 20}])
    assert shortener._pool._idle == []
    post("chat", messages=[{"role": "user", "content": LONG * 20}], compress=0.5)
    assert len(shortener._pool._idle) == 1
