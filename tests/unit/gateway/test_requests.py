"""What is wrong with a request, and with the platform behind it: every answer is the error object."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest
from flask.testing import FlaskClient
from flask_openapi3.openapi import OpenAPI
from redis import Redis

from quickthaw.resources import CheckpointInfo, Scope
from quickthaw.types import FunctionSpec
from quickthaw_platform.gateway.app import create_app
from quickthaw_platform.registry.catalogue import Catalogue
from quickthaw_platform.registry.functions import FunctionRegistry
from quickthaw_platform.registry.keys import KeyStore
from quickthaw_platform.settings import Settings
from tests.unit.gateway.conftest import ECHO, error_of
from tests.unit.gateway.node import FakeNode
from tests.valkey_process import ValkeyProcess

INPUT = {"input": {"prompt": "hi"}}


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"{bad", "line 1, column 2"),
        (b'{"input":\n  {"a": }}', "line 2, column 9"),
        (b'{"input": {"a": NaN}}', "NaN is not a JSON number"),
        (b'{"input": {"a": 1e999}}', "too large"),
        (b'{"input": {"a": 123456789012345678901234567890}}', "64 bits"),
        (b'{"input": {"a": 9223372036854775808}}', "64 bits"),
        (b'{"input": {"a": "\\ud800"}}', "surrogate"),
        (b'{"input": {"a": "\xff"}}', "not UTF-8"),
        (b"[" * 5000 + b"]" * 5000, "too deeply"),
        (b'"text"', "must be a JSON object"),
        (b"[1]", "must be a JSON object"),
        (b"", "input: Field required"),
    ],
)
def test_what_is_not_json_is_refused_with_its_place(client: FlaskClient, body: bytes, says: str) -> None:
    answer = client.post("/v1/functions/chat/invoke", data=body)
    assert answer.status_code == 400
    assert says in error_of(answer)["message"]


@pytest.mark.parametrize("length_known", [True, False])
def test_a_body_that_is_too_large_is_refused(client: FlaskClient, length_known: bool) -> None:
    body = BytesIO(b'{"input": {"prompt": "' + b"x" * (100 << 10) + b'"}}')
    size = len(body.getvalue())
    more: dict[str, Any] = (
        {"content_length": size} if length_known else {"environ_base": {"wsgi.input_terminated": True}}
    )
    answer = client.post("/v1/functions/chat/invoke", input_stream=body, **more)
    assert answer.status_code == 413
    assert error_of(answer)["code"] == "request_too_large"
    assert body.tell() == size  # what the client still sent was taken, so that it gets to read the answer


def test_paths_and_methods_that_do_not_exist(client: FlaskClient) -> None:
    missing = client.get("/v2/everything")
    assert (missing.status_code, error_of(missing)["code"]) == (404, "not_found")
    wrong = client.delete("/v1/models")
    assert (wrong.status_code, error_of(wrong)["code"]) == (405, "method_not_allowed")
    assert "GET" in wrong.headers["Allow"]


def test_a_request_id_is_taken_from_the_caller_where_it_is_harmless(client: FlaskClient) -> None:
    assert client.get("/healthz", headers={"x-request-id": "abc-1"}).headers["x-request-id"] == "abc-1"
    assert client.get("/healthz", headers={"x-request-id": "a b"}).headers["x-request-id"].startswith("req-")


@pytest.mark.parametrize("header", [None, "", "Bearer", "Basic YTpi", "Bearer qt-000000000000-" + "a" * 32])
def test_no_call_without_a_valid_key(app: OpenAPI, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    answer = app.test_client().post("/v1/functions/chat/invoke", data=b"{bad", headers=headers)
    assert answer.status_code == 401
    assert error_of(answer)["type"] == "authentication_error"


def test_a_key_may_come_as_anthropics_clients_send_it(app: OpenAPI, client: FlaskClient) -> None:
    key = client.environ_base["HTTP_AUTHORIZATION"].removeprefix("Bearer ")
    plain = app.test_client()
    assert plain.get("/v1/models", headers={"x-api-key": key}).status_code == 200
    assert plain.get("/v1/models", headers={"x-api-key": "qt-000000000000-" + "a" * 32}).status_code == 401
    assert client.get("/v1/models", headers={"x-api-key": key}).status_code == 200


def test_two_different_keys_at_once_are_refused(client: FlaskClient, client_of: Callable[..., FlaskClient]) -> None:
    other = client_of().environ_base["HTTP_AUTHORIZATION"].removeprefix("Bearer ")
    answer = client.get("/v1/models", headers={"x-api-key": other})
    assert answer.status_code == 401
    assert "two different" in error_of(answer)["message"]


@pytest.mark.parametrize(
    ("scope", "method", "path", "status"),
    [
        (Scope.INVOKE, "GET", "/v1/models", 200),
        (Scope.INVOKE, "POST", "/v1/functions/chat/invoke", 400),  # let in, and then found wanting
        (Scope.INVOKE, "GET", "/v1/functions", 403),
        (Scope.INVOKE, "GET", "/v1/nodes", 403),
        (Scope.INVOKE, "GET", "/v1/keys", 403),
        (Scope.INVOKE, "GET", "/v1/functions/chat/logs", 403),
        (Scope.DEPLOY, "GET", "/v1/functions", 200),
        (Scope.DEPLOY, "GET", "/v1/nodes", 200),
        (Scope.DEPLOY, "POST", "/v1/nodes/n1/drain", 403),
        (Scope.DEPLOY, "DELETE", "/v1/checkpoints/tiny", 403),
        (Scope.DEPLOY, "GET", "/v1/keys", 403),
        (Scope.DEPLOY, "POST", "/v1/functions/chat/invoke", 403),
        (Scope.ADMIN, "POST", "/v1/functions/chat/invoke", 400),
        (Scope.ADMIN, "GET", "/v1/keys", 200),
    ],
)
def test_scopes(client_of: Callable[..., FlaskClient], scope: Scope, method: str, path: str, status: int) -> None:
    assert client_of(scope).open(path, method=method).status_code == status


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/openapi.json", "/docs/"])
def test_what_needs_no_key(app: OpenAPI, path: str) -> None:
    assert app.test_client().get(path).status_code == 200


def test_readiness_can_be_asked_for_nodes(app: OpenAPI, redis: Redis) -> None:
    client = app.test_client()
    redis.delete("qt:nodes")
    assert client.get("/readyz").json == {"status": "ok", "nodes": 0}
    answer = client.get("/readyz?nodes=1")
    assert answer.status_code == 503
    assert "0 of 1 nodes are there" in error_of(answer)["message"]
    redis.sadd("qt:nodes", "n1")
    assert client.get("/readyz?nodes=1").json == {"status": "ok", "nodes": 1}
    assert client.get("/readyz?nodes=-1").status_code == 400


def admin(redis: Redis) -> dict[str, str]:
    """Return the header of a new admin key."""
    return {"Authorization": f"Bearer {KeyStore(redis).create('admin', [Scope.ADMIN]).key}"}


def test_while_redis_is_down_calls_are_unavailable_and_the_process_is_healthy(
    own_valkey: ValkeyProcess, settings: Settings
) -> None:
    local = settings.model_copy(update={"redis_url": own_valkey.url})
    with own_valkey.client() as redis:
        app = create_app(local, redis, FakeNode(redis, local))  # type: ignore[arg-type]
        client, headers = app.test_client(), admin(redis)
        assert client.get("/readyz").status_code == 200
        own_valkey.kill()
        assert client.get("/healthz").status_code == 200
        assert client.get("/metrics").status_code == 200
        for answer in (
            client.get("/readyz"),
            client.get("/v1/models", headers=headers),
            client.post("/v1/functions/chat/invoke", json=INPUT, headers=headers),
            client.get("/v1/functions", headers=headers),
        ):
            assert answer.status_code == 503
            assert error_of(answer)["code"] == "unavailable"
            assert answer.headers["Retry-After"] == "1"
            assert answer.headers["x-should-retry"] == "true"
        own_valkey.start()
        assert client.get("/readyz").status_code == 200


@pytest.mark.parametrize(("code", "setting"), [("OOM", "maxmemory"), ("NOREPLICAS", "min-replicas-to-write")])
def test_while_redis_takes_no_changes_calls_are_unavailable_and_the_gateway_is_not_ready(
    own_valkey: ValkeyProcess, settings: Settings, code: str, setting: str
) -> None:
    local = settings.model_copy(update={"redis_url": own_valkey.url})
    with own_valkey.client() as redis:
        app = create_app(local, redis, FakeNode(redis, local))  # type: ignore[arg-type]
        client = app.test_client()
        client.environ_base["HTTP_AUTHORIZATION"] = admin(redis)["Authorization"]
        Catalogue(redis).announce([CheckpointInfo(id="c1", name="tiny", task="generate", bytes=1, context_tokens=128)])
        FunctionRegistry(redis).deploy(FunctionSpec.model_validate(ECHO))
        redis.config_set(setting, "1")
        for answer in (
            client.get("/readyz"),
            client.post("/v1/functions/chat/invoke", json=INPUT),
            client.post("/v1/functions/chat/stream", json=INPUT),
            client.post("/v1/chat/completions", json={"model": "chat", "messages": [{"role": "user", "content": "a"}]}),
            client.post("/v1/functions", json=ECHO),
            client.post("/v1/keys", json={"name": "a", "scopes": ["invoke"]}),
        ):
            assert answer.status_code == 503, answer.json
            said = error_of(answer)
            told = (said["code"], answer.headers["Retry-After"], code in said["message"])
            # A gateway that has looked at its store's memory since refuses before the store does.
            assert told == ("unavailable", "1", True) or (code == "OOM" and told == ("store_full", "10", False))
        assert client.get("/healthz").status_code == 200
        assert client.get("/v1/functions").status_code == 200  # what is only read
        redis.config_set(setting, "0")
        assert client.get("/readyz").status_code == 200


def test_a_bug_of_ours_is_an_error_object_without_its_details(
    client: FlaskClient, node: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(node, "send_task", broken)
    answer = client.post("/v1/nodes/n1/drain")
    assert answer.status_code == 500
    assert error_of(answer)["code"] == "internal_error"
    assert "secret detail" not in answer.text
    assert answer.headers["x-request-id"] in answer.text
