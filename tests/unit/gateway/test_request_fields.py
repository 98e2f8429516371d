"""Every field of a request is honoured, harmless or refused, as the table and the documentation say."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from typing import Any

import pytest
from flask.testing import FlaskClient
from openai.types import completion_create_params, embedding_create_params
from openai.types.chat import completion_create_params as chat_create_params

from quickthaw.types import Handler
from quickthaw_platform.errors import InvalidRequest
from quickthaw_platform.gateway.openai.mapping import chat_call, completion_calls
from quickthaw_platform.gateway.openai.schema import ChatRequest, CompletionRequest, EmbeddingRequest
from quickthaw_platform.gateway.openai.vectors import embedding_call
from quickthaw_platform.gateway.request_fields import Endpoint, RequestField, Treatment, fields_of
from tests.packaging.roots import ROOT
from tests.unit.gateway.conftest import ECHO
from tests.unit.gateway.node import FakeNode

DOCUMENT = (ROOT / "docs" / "http-api.md").read_text()
BASES: Mapping[Endpoint, dict[str, Any]] = {
    Endpoint.CHAT: {"model": "chat", "messages": [{"role": "user", "content": "hi"}]},
    Endpoint.COMPLETIONS: {"model": "chat", "prompt": "hi"},
    Endpoint.EMBEDDINGS: {"model": "embed", "input": ["hi"]},
}
PATHS = {
    Endpoint.CHAT: "/v1/chat/completions",
    Endpoint.COMPLETIONS: "/v1/completions",
    Endpoint.EMBEDDINGS: "/v1/embeddings",
}
REQUESTS: Mapping[Endpoint, type[ChatRequest | CompletionRequest | EmbeddingRequest]] = {
    Endpoint.CHAT: ChatRequest,
    Endpoint.COMPLETIONS: CompletionRequest,
    Endpoint.EMBEDDINGS: EmbeddingRequest,
}
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
SCHEMA = {"type": "integer"}

CARRIED: Mapping[str, Any] = {
    "max_tokens": 5,
    "max_completion_tokens": 5,
    "n_predict": 5,
    "temperature": 0.5,
    "top_p": 0.5,
    "top_k": 5,
    "min_p": 0.5,
    "n": 2,
    "stop": "x",
    "seed": 1,
    "frequency_penalty": 1,
    "presence_penalty": 1,
    "repetition_penalty": 1.5,
    "repeat_penalty": 1.5,
    "ignore_eos": True,
    "logit_bias": {"5": 1},
    "min_tokens": 2,
    "stop_token_ids": [5],
    "include_stop_str_in_output": True,
    "truncate_prompt_tokens": 5,
    "response_format": {"type": "json_object"},
    "structured_outputs": {"json": SCHEMA},
    "guided_json": SCHEMA,
    "guided_regex": "a",
    "guided_choice": ["a"],
    "guided_grammar": 'root ::= "a"',
    "grammar": 'root ::= "a"',
    "json_schema": SCHEMA,
    "messages": [{"role": "user", "content": "other"}],
    "logprobs": 1,
    "top_logprobs": 2,
    "tools": [TOOL],
    "tool_choice": "none",
    "parallel_tool_calls": False,
    "functions": [TOOL["function"]],
    "function_call": "none",
    "reasoning_effort": "low",
    "chat_template_kwargs": {"a": 1},
    "documents": [{"text": "a"}],
    "add_generation_prompt": False,
    "continue_final_message": True,
    "prompt": "other",
    "echo": True,
    "best_of": 3,
    "suffix": "end",
    "input": ["other"],
    "compress": 0.5,
}
"""A value of each honoured field that reaches the call of the function."""

NEEDS: Mapping[str, dict[str, Any]] = {
    "top_logprobs": {"logprobs": True},
    "continue_final_message": {"add_generation_prompt": False},
}
ELSEWHERE = {"model", "stream", "stream_options", "store", "metadata", "dimensions", "encoding_format"}
"""Honoured fields that change where a call goes or how its answer is written; each has tests of its own."""

REFUSED_VALUES: Mapping[str, Any] = {"truncation_side": "right", "reasoning_format": "none", "modalities": ["audio"]}


def cases(treatment: Treatment) -> list[Any]:
    return [
        pytest.param(endpoint, field, id=f"{endpoint}-{field.name}")
        for endpoint in PATHS
        for field in fields_of(endpoint).values()
        if field.treatment is treatment and field.name not in ELSEWHERE
    ]


def calls(endpoint: Endpoint, handler: Handler | None = None, /, **fields: Any) -> Any:
    body = REQUESTS[endpoint].model_validate({**BASES[endpoint], **fields})
    if isinstance(body, ChatRequest):
        return chat_call(body, handler)
    return completion_calls(body, handler) if isinstance(body, CompletionRequest) else embedding_call(body, handler)


@pytest.mark.parametrize("endpoint", PATHS)
def test_the_honoured_fields_are_those_that_a_request_has(endpoint: Endpoint) -> None:
    honoured = {name for name, field in fields_of(endpoint).items() if field.treatment is Treatment.HONOURED}
    assert honoured == set(REQUESTS[endpoint].model_fields)


@pytest.mark.parametrize(("endpoint", "field"), cases(Treatment.HONOURED))
def test_an_honoured_field_changes_the_call(endpoint: Endpoint, field: RequestField) -> None:
    needs: dict[str, Any] = NEEDS.get(field.name, {})
    value: Any = 1 if field.name == "logprobs" and endpoint is Endpoint.COMPLETIONS else CARRIED[field.name]
    assert calls(endpoint, **needs, **{field.name: value}) != calls(endpoint, **needs)


@pytest.mark.parametrize(("endpoint", "field"), cases(Treatment.HARMLESS))
def test_a_harmless_field_changes_nothing(endpoint: Endpoint, field: RequestField) -> None:
    values: list[Any] = ["x", 1, True, {"a": [1]}, None]
    for value in values:
        assert calls(endpoint, **{field.name: value}) == calls(endpoint)


@pytest.mark.parametrize(("endpoint", "field"), cases(Treatment.REFUSED))
def test_a_refused_field_passes_only_where_it_asks_for_what_is_done(endpoint: Endpoint, field: RequestField) -> None:
    for value in (*field.passes, None):
        assert calls(endpoint, **{field.name: value}) == calls(endpoint)
    with pytest.raises(InvalidRequest, match=f"^{field.name} is not served") as refused:
        calls(endpoint, **{field.name: REFUSED_VALUES.get(field.name, {"a": 1})})
    assert refused.value.param == field.name


def test_true_is_not_one_where_one_is_taken() -> None:
    with pytest.raises(InvalidRequest):
        calls(Endpoint.CHAT, typical_p=True)


@pytest.mark.parametrize("endpoint", PATHS)
def test_each_treatment_shows_over_http(client: FlaskClient, node: FakeNode, endpoint: Endpoint) -> None:
    client.post("/v1/functions", json={**ECHO, "name": "embed", "model": "tiny-embed"})
    if endpoint is Endpoint.EMBEDDINGS:
        node.script = lambda _: [{"result": [[1.0]]}]
    assert client.post(PATHS[endpoint], json={**BASES[endpoint], "user": "me", "request_id": "r"}).status_code == 200
    for sent, param in (({"priority": 5}, "priority"), ({"usre": "me"}, "usre")):
        answer = client.post(PATHS[endpoint], json={**BASES[endpoint], **sent})
        assert answer.status_code == 400
        assert answer.json is not None
        assert answer.json["error"]["param"] == param


def test_an_unknown_field_names_the_near_one() -> None:
    with pytest.raises(InvalidRequest, match="did you mean 'safety_identifier'"):
        calls(Endpoint.CHAT, safety_identifer="me")


def test_a_field_that_the_handler_takes_is_the_handlers_whatever_the_table_says() -> None:
    handler = Handler(
        file="f.py", object="f", parameters={"properties": {"messages": {}, "style": {}, "user": {}, "mirostat": {}}}
    )
    call = calls(Endpoint.CHAT, handler, style="terse", user="me", mirostat=2)
    assert call.input == {
        "messages": BASES[Endpoint.CHAT]["messages"],
        "style": "terse",
        "user": "me",
        "mirostat": 2,
    }


@pytest.mark.parametrize(
    ("endpoint", "parameters"),
    [
        (Endpoint.CHAT, chat_create_params.CompletionCreateParamsBase),
        (Endpoint.COMPLETIONS, completion_create_params.CompletionCreateParamsBase),
        (Endpoint.EMBEDDINGS, embedding_create_params.EmbeddingCreateParams),
    ],
)
def test_the_table_has_every_field_of_openais_own_client(endpoint: Endpoint, parameters: type) -> None:
    assert set(inspect.get_annotations(parameters)) <= set(fields_of(endpoint))


def row(field: RequestField) -> str:
    taken = " or ".join(f"`{json.dumps(value)}`" for value in field.passes)
    only = f"; only {taken} is taken" if taken else ""
    return f"| `{field.name}` | {field.origin} | {field.treatment.value}: {field.about}{only} |"


@pytest.mark.parametrize("endpoint", [*PATHS, Endpoint.RESPONSES])
def test_the_documentation_has_the_table(endpoint: Endpoint) -> None:
    missing = [row(field) for field in fields_of(endpoint).values() if row(field) not in DOCUMENT]
    assert missing == [], "put these rows into docs/http-api.md"
