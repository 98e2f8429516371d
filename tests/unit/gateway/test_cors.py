"""Calls from web pages: who may make them, and what browsers are told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient
from redis import Redis

from quickthaw.resources import Quotas, Scope
from quickthaw_platform.gateway.services import EXTENSION
from quickthaw_platform.registry.keys import KeyStore
from quickthaw_platform.settings import Settings
from tests.unit.gateway.conftest import ECHO, Relay
from tests.unit.gateway.node import FakeNode
from tests.valkey_process import ValkeyProcess

PAGE = "https://chat.example"
PREFLIGHT = {
    "Origin": PAGE,
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type,x-stainless-lang",
}


def make(valkey: ValkeyProcess, redis: Redis, relay: Relay, **settings: Any) -> Iterator[FlaskClient]:
    app = relay.app(Settings(redis_url=valkey.url, max_body=64 << 10, **settings), redis)
    yield app.test_client()
    app.extensions[EXTENSION].close()


@pytest.fixture(scope="module")
def paged(valkey: ValkeyProcess, relay: Relay) -> Iterator[FlaskClient]:
    with valkey.client() as redis:
        yield from make(valkey, redis, relay, cors_origins=[PAGE, "http://localhost:3000"])


@pytest.fixture
def page(paged: FlaskClient, relay: Relay, node: FakeNode, redis: Redis) -> FlaskClient:
    relay.node = node
    key = KeyStore(redis).create("test", [Scope.ADMIN], Quotas()).key
    paged.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {key}"
    assert paged.post("/v1/functions", json=ECHO).status_code == 200
    return paged


def test_a_preflight_needs_no_key_and_allows_what_it_asks_for(paged: FlaskClient) -> None:
    paged.environ_base.pop("HTTP_AUTHORIZATION", None)
    answer = paged.options("/v1/chat/completions", headers=PREFLIGHT)
    assert answer.status_code == 204
    assert answer.headers["Access-Control-Allow-Origin"] == PAGE
    assert "POST" in answer.headers["Access-Control-Allow-Methods"]
    assert answer.headers["Access-Control-Allow-Headers"] == PREFLIGHT["Access-Control-Request-Headers"]
    assert "Origin" in answer.headers["Vary"]


def test_a_preflight_of_another_page_is_refused_by_the_settings_name(paged: FlaskClient) -> None:
    answer = paged.options("/v1/chat/completions", headers={**PREFLIGHT, "Origin": "https://evil.example"})
    assert answer.status_code == 403
    assert "cors_origins" in answer.get_data(as_text=True)
    assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize(
    ("method", "path", "sent", "status"),
    [
        ("GET", "/healthz", {}, 200),
        ("GET", "/v1/models", {}, 200),
        ("POST", "/v1/chat/completions", {"data": b"{bad"}, 400),
        ("GET", "/v1/models", {"headers": {"Authorization": "Bearer qt-wrong"}}, 401),
        ("GET", "/nowhere", {}, 404),
        ("DELETE", "/v1/models", {}, 405),
        ("POST", "/v1/chat/completions", {"data": b"x" * (65 << 10)}, 413),
        ("POST", "/v1/chat/completions", {"data": b"x", "headers": {"Content-Encoding": "br"}}, 415),
        ("POST", "/v1/messages", {"data": b"{bad"}, 400),  # Anthropic's errors
    ],
)
def test_every_answer_names_the_page(
    page: FlaskClient, method: str, path: str, sent: dict[str, Any], status: int
) -> None:
    headers = {"Origin": PAGE, **sent.pop("headers", {})}
    answer = page.open(path, method=method, headers=headers, **sent)
    assert answer.status_code == status
    assert answer.headers["Access-Control-Allow-Origin"] == PAGE
    assert "Origin" in answer.headers["Vary"]


def test_a_stream_names_the_page_and_what_it_may_read(page: FlaskClient) -> None:
    body = {"model": "chat", "messages": [{"role": "user", "content": "hi"}], "stream": True}
    answer = page.post("/v1/chat/completions", json=body, headers={"Origin": PAGE})
    assert answer.headers["Access-Control-Allow-Origin"] == PAGE
    exposed = answer.headers["Access-Control-Expose-Headers"].lower().split(", ")
    assert {"x-request-id", "x-invocation-id", "retry-after", "x-ratelimit-remaining-tokens"} <= set(exposed)
    assert b"[DONE]" in answer.data


def test_an_answer_to_a_page_that_is_not_listed_does_not_name_it(page: FlaskClient) -> None:
    answer = page.get("/v1/models", headers={"Origin": "https://evil.example"})
    assert answer.status_code == 200  # it has a key, and a browser keeps the answer from the page
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert "Origin" in answer.headers["Vary"]


def test_any_page_may_call_where_all_are_allowed(valkey: ValkeyProcess, redis: Redis, relay: Relay) -> None:
    for client in make(valkey, redis, relay, cors_origins="*"):
        assert client.options("/v1/models", headers=PREFLIGHT).headers["Access-Control-Allow-Origin"] == "*"
        assert client.get("/v1/models", headers={"Origin": PAGE}).headers["Access-Control-Allow-Origin"] == "*"


def test_without_the_setting_nothing_is_allowed(client: FlaskClient) -> None:
    assert client.options("/v1/models", headers=PREFLIGHT).status_code == 403
    answer = client.get("/v1/models", headers={"Origin": PAGE})
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert "Vary" not in answer.headers
