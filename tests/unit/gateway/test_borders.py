"""Values at the borders of what other servers take, and how long answers may be: one rule for every API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from flask.testing import FlaskClient

from quickthaw.generation import LEAST_TOP_P
from tests.unit.gateway.conftest import ECHO
from tests.unit.gateway.node import FakeNode, Output, words

USER = {"role": "user", "content": "hi"}
PATHS: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", {"model": "chat", "messages": [USER]}),
    "completions": ("/v1/completions", {"model": "chat", "prompt": "a"}),
    "responses": ("/v1/responses", {"model": "chat", "input": "hi"}),
    "messages": ("/v1/messages", {"model": "chat", "messages": [USER], "max_tokens": 9}),
    "native": ("/v1/functions/chat/invoke", {"input": {"prompt": "a"}}),
}
MAX_TOKENS = {"responses": "max_output_tokens"}
STOP = {"messages": "stop_sequences"}


@pytest.fixture
def asked(node: FakeNode) -> list[dict[str, Any]]:
    """What the node was asked, call by call."""
    seen: list[dict[str, Any]] = []

    def script(request: Mapping[str, Any]) -> list[Output]:
        seen.append(dict(request))
        return list(words(request))

    node.script = script
    return seen


def send(client: FlaskClient, api: str, **fields: Any) -> Any:
    path, body = PATHS[api]
    body = {**body, "sampling": fields} if api == "native" else {**body, **fields}
    return client.post(path, json=body)


@pytest.mark.parametrize("api", PATHS)
def test_minus_one_asks_for_as_many_tokens_as_the_context_holds(
    client: FlaskClient, asked: list[dict[str, Any]], api: str
) -> None:
    assert send(client, api, **{MAX_TOKENS.get(api, "max_tokens"): -1}).status_code == 200
    assert asked[0]["sampling"]["max_tokens"] is None


@pytest.mark.parametrize("api", PATHS)
def test_top_p_zero_takes_the_likeliest_token_alone(client: FlaskClient, asked: list[dict[str, Any]], api: str) -> None:
    assert send(client, api, top_p=0).status_code == 200
    assert asked[0]["sampling"]["top_p"] == LEAST_TOP_P


@pytest.mark.parametrize("api", ["chat", "completions", "messages", "native"])
@pytest.mark.parametrize(
    ("sent", "stops"),
    [([""], []), (["", "x"], ["x"]), ([f"stop {n}" for n in range(128)], [f"stop {n}" for n in range(128)])],
)
def test_empty_stops_end_nothing_and_there_may_be_many(
    client: FlaskClient, asked: list[dict[str, Any]], api: str, sent: list[str], stops: list[str]
) -> None:
    assert send(client, api, **{STOP.get(api, "stop"): sent}).status_code == 200
    assert asked[0]["sampling"]["stop"] == stops


@pytest.mark.parametrize("api", ["chat", "completions", "native"])
def test_a_single_empty_stop_ends_nothing(client: FlaskClient, asked: list[dict[str, Any]], api: str) -> None:
    assert send(client, api, stop="").status_code == 200
    assert asked[0]["sampling"]["stop"] == []


@pytest.mark.parametrize("api", ["chat", "completions", "native"])
def test_there_may_be_128_answers(client: FlaskClient, asked: list[dict[str, Any]], api: str) -> None:
    assert send(client, api, n=128).status_code == 200
    assert asked[0]["sampling"]["n"] == 128
    refused = send(client, api, n=129)
    assert (refused.status_code, refused.get_json()["error"]["param"]) == (
        400,
        "sampling.n" if api == "native" else "n",
    )


def test_a_prompt_that_is_null_is_the_beginning_of_a_document(client: FlaskClient, asked: list[dict[str, Any]]) -> None:
    assert send(client, "completions", prompt=None).status_code == 200
    assert asked[0]["input"] == {"prompt": ""}


def test_no_top_logprobs_need_no_logprobs(client: FlaskClient, asked: list[dict[str, Any]]) -> None:
    assert send(client, "chat", logprobs=False, top_logprobs=0).status_code == 200
    assert "logprobs" not in asked[0]["sampling"]


@pytest.mark.parametrize(
    ("api", "name"),
    [
        ("chat", "max_tokens"),
        ("chat", "max_completion_tokens"),
        ("chat", "n_predict"),
        ("completions", "max_tokens"),
        ("responses", "max_output_tokens"),
        ("messages", "max_tokens"),
        ("native", "max_tokens"),
    ],
)
def test_more_tokens_than_the_function_allows_are_refused_by_the_fields_name(
    client: FlaskClient, asked: list[dict[str, Any]], api: str, name: str
) -> None:
    assert client.post("/v1/functions", json={**ECHO, "max_tokens_limit": 50}).status_code == 200
    assert send(client, api, **{name: 50}).status_code == 200
    refused = send(client, api, **{name: 51})
    assert refused.status_code == 400
    error = refused.get_json()["error"]
    assert f"{name} 51 is more than this function allows, which is 50" in error["message"]
    if api != "messages":
        assert error["param"] == (f"sampling.{name}" if api == "native" else name)


@pytest.mark.parametrize(
    ("spec", "sent"),
    [
        ({}, {"max_tokens": 16}),  # OpenAI's
        ({"max_tokens": 100}, {}),  # the function's own, which its instances know
        ({"max_tokens_limit": 5}, {"max_tokens": 5}),
    ],
)
def test_the_default_of_completions_is_openais_unless_the_function_has_its_own(
    client: FlaskClient, asked: list[dict[str, Any]], spec: dict[str, Any], sent: dict[str, Any]
) -> None:
    client.post("/v1/functions", json={**ECHO, **spec})
    assert send(client, "completions").status_code == 200
    assert asked[0]["sampling"] == sent


def test_a_default_beyond_the_limit_is_refused_at_deploy(client: FlaskClient) -> None:
    refused = client.post("/v1/functions", json={**ECHO, "max_tokens": 6, "max_tokens_limit": 5})
    assert refused.status_code == 400
    assert "max_tokens (6) is more than max_tokens_limit (5)" in refused.get_json()["error"]["message"]
