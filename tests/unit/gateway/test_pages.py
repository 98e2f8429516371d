"""Pages for machines: what this is, probes of other servers, slashes at the end, and paths of other servers."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient

from quickthaw.version import VERSION
from quickthaw_platform.gateway.foreign_paths import pointer


def test_the_front_page_says_what_this_is_and_where_things_are(client: FlaskClient) -> None:
    client.environ_base.pop("HTTP_AUTHORIZATION", None)
    front = client.get("/").get_json()
    assert (front["name"], front["version"]) == ("quickthaw", VERSION)
    for there in ("documentation", "openapi", "health", "ready", "metrics"):
        assert client.get(front[there]).status_code == 200
    assert client.head("/").status_code == 200


@pytest.mark.parametrize("path", ["/health", "/health/", "/healthz/", "/ping", "/v1/health"])
def test_probes_of_other_servers_are_answered_without_a_key(client: FlaskClient, path: str) -> None:
    client.environ_base.pop("HTTP_AUTHORIZATION", None)
    assert client.get(path).get_json() == {"status": "ok"}


def test_a_ping_may_be_posted(client: FlaskClient) -> None:
    assert client.post("/ping").status_code == 200


def test_the_version_is_told(client: FlaskClient) -> None:
    assert client.get("/version").get_json() == {"version": VERSION}


@pytest.mark.parametrize("path", ["/v1/models/", "/v1/models/chat/", "/v1/functions/", "/readyz/"])
def test_a_path_may_end_in_a_slash(client: FlaskClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200
    assert answer.get_json() == client.get(path.rstrip("/")).get_json()


def test_a_call_may_end_in_a_slash(client: FlaskClient) -> None:
    body = {"model": "chat", "messages": [{"role": "user", "content": "hi"}]}
    assert client.post("/v1/chat/completions/", json=body).status_code == 200


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/v1/v1/chat/completions", "/v1/chat/completions is there"),
        ("/chat/completions", "/v1/chat/completions is there"),
        ("/models", "/v1/models is there"),
        ("/messages", "/v1/messages is there"),
        ("/responses", "/v1/responses is there"),
        ("/api/v1/embeddings", "/v1/embeddings is there"),
        ("/openai/deployments/chat/chat/completions", "/v1/chat/completions is there"),
        ("/v1/chat/completions/chat/completions", "/v1/chat/completions is there"),
        ("/V1/Models", "/v1/models is there"),
        ("/api/generate", "call /v1/completions"),
        ("/api/chat", "call /v1/chat/completions"),
        ("/api/tags", "/v1/models"),
        ("/completion", "call /v1/completions"),
        ("/generate_stream", "stream: true"),
        ("/tokenize", "/v1/messages/count_tokens"),
        ("/v1/audio/transcriptions", "only text"),
        ("/v1beta/models/chat:generateContent", "call /v1/chat/completions"),
        ("/livez", "/healthz"),
        ("/nothing/at/all", "/docs/ lists the endpoints"),
    ],
)
def test_a_path_of_another_server_is_answered_with_the_one_that_is_meant(
    client: FlaskClient, path: str, told: str
) -> None:
    answer = client.post(path, json={})
    assert answer.status_code == 404
    assert told in answer.get_json()["error"]["message"]


def test_a_path_that_no_end_of_which_is_known_has_no_pointer() -> None:
    assert pointer("/a/b", lambda _: False) is None


def test_what_is_not_done_with_a_response_is_refused_with_what_to_do_instead(client: FlaskClient) -> None:
    answer = client.post("/v1/responses/compact", json={"model": "chat", "input": "hi"})
    assert answer.status_code == 405
    assert "truncation: auto" in answer.get_json()["error"]["message"]
