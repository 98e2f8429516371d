"""What another release has stored in a form of its own is refused by name, and keeps nothing else from working."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, cast

import pytest
from flask.testing import FlaskClient
from flask_openapi3.openapi import OpenAPI
from redis import Redis

from quickthaw.resources import Scope
from quickthaw_platform.redis_keys import RedisKey
from quickthaw_platform.registry.catalogue import CHECKPOINTS_KEY
from quickthaw_platform.registry.functions import version_key
from quickthaw_platform.registry.keys import KeyStore
from tests.state import announce_node, make_version, start_instance
from tests.unit.gateway.conftest import ECHO, error_of

OTHER = {**ECHO, "name": "other", "env": {"A": "1"}}


def changed(body: str, change: Callable[[dict[str, Any]], object]) -> str:
    """Return a stored record as another release would have written it."""
    record = json.loads(body)
    change(record)
    return json.dumps(record)


@pytest.fixture(
    params=[
        (lambda record: record["spec"].update(gpu_slices=2), "spec.gpu_slices"),  # a later one
        (lambda record: record["spec"]["limits"].update(start=0), "spec.limits.start"),  # an earlier one
    ],
    ids=["later", "earlier"],
)
def field(request: pytest.FixtureRequest, client: FlaskClient, redis: Redis) -> str:
    """Of the version of `other`, which another release has stored: what this one does not take."""
    change, name = request.param
    version = client.post("/v1/functions", json=OTHER).get_json()["id"]
    body = redis.get(version_key(version))
    assert isinstance(body, str)
    redis.set(version_key(version), changed(body, change))
    return str(name)


def test_a_version_is_refused_alone(client: FlaskClient, field: str) -> None:
    refused = client.post("/v1/functions/other/invoke", json={"input": {"prompt": "x"}})
    assert (refused.status_code, error_of(refused)["code"]) == (409, "record_unreadable")
    assert field in error_of(refused)["message"]
    assert client.get("/v1/functions/other").status_code == 409
    assert [function["name"] for function in client.get("/v1/functions").get_json()["data"]] == ["chat"]
    assert client.post("/v1/functions/chat/invoke", json={"input": {"prompt": "x"}}).status_code == 200
    for path in ("/metrics", "/v1/models", "/v1/instances", "/v1/functions/other/versions"):
        assert client.get(path).status_code == 200, path


def test_its_checkpoint_is_not_taken_away_from_it(client: FlaskClient, field: str) -> None:
    assert client.delete("/v1/functions/chat").status_code == 200
    refused = client.delete("/v1/checkpoints/tiny")
    assert (refused.status_code, error_of(refused)["code"]) == (409, "record_unreadable")


def test_a_deploy_of_the_same_function_mends_it(client: FlaskClient, field: str) -> None:
    deployed = client.post("/v1/functions", json=OTHER)
    assert (deployed.status_code, deployed.get_json()["unchanged"]) == (200, False)
    versions = client.get("/v1/functions/other/versions").get_json()["data"]
    assert [version["id"] for version in versions] == [deployed.get_json()["id"]]
    assert client.post("/v1/functions", json=OTHER).get_json()["unchanged"]


def test_a_version_that_is_pointed_to_by_its_id_says_why_not(client: FlaskClient, redis: Redis, field: str) -> None:
    version = redis.lrange(RedisKey.FUNCTION_VERSIONS.of("other"), 0, -1)[0]
    refused = client.put("/v1/functions/other/aliases/staging", json={"weights": {version: 1}})
    assert (refused.status_code, error_of(refused)["code"]) == (409, "record_unreadable")


def test_a_checkpoint_is_left_out_alone(client: FlaskClient, redis: Redis) -> None:
    body = redis.hget(CHECKPOINTS_KEY, "tiny-embed")
    assert isinstance(body, str)
    redis.hset(CHECKPOINTS_KEY, "tiny-embed", changed(body, lambda record: record.update(shape="round")))
    assert [found["name"] for found in client.get("/v1/checkpoints").get_json()["data"]] == ["tiny"]
    assert client.get("/v1/checkpoints/tiny-embed").status_code == 404
    assert client.post("/v1/functions/chat/invoke", json={"input": {"prompt": "x"}}).status_code == 200


def test_a_key_is_refused_alone(app: OpenAPI, client: FlaskClient, redis: Redis) -> None:
    keys = KeyStore(redis)
    created = keys.create("later", [Scope.ADMIN])
    body = redis.hget(RedisKey.KEY.of(created.id), "info")
    assert isinstance(body, str)
    redis.hset(RedisKey.KEY.of(created.id), "info", changed(body, lambda record: record.update(only_by_night=True)))
    refused = app.test_client().get("/v1/functions", headers={"Authorization": f"Bearer {created.key}"})
    assert (refused.status_code, error_of(refused)["code"]) == (409, "record_unreadable")
    assert "only_by_night" in error_of(refused)["message"]
    stranger = created.key[:-4] + ("abcd" if not created.key.endswith("abcd") else "dcba")  # its id, another secret
    told_nothing = app.test_client().get("/v1/functions", headers={"Authorization": f"Bearer {stranger}"})
    assert (told_nothing.status_code, error_of(told_nothing)["code"]) == (401, "invalid_api_key")
    assert created.id not in {key["id"] for key in client.get("/v1/keys").get_json()["data"]}
    assert client.delete(f"/v1/keys/{created.id}").status_code == 200


def test_the_first_key_is_made_where_none_can_be_read(redis: Redis) -> None:
    redis.flushall()
    keys = KeyStore(redis)
    assert keys.ensure_admin()
    assert keys.ensure_admin() is None
    [key_id] = redis.smembers(RedisKey.KEYS)
    redis.hset(RedisKey.KEY.of(key_id), "info", "{}")
    assert keys.ensure_admin()


LISTS = ("/v1/nodes", "/v1/instances", "/v1/functions", "/v1/checkpoints", "/metrics", "/readyz")


def all_else_works(client: FlaskClient) -> bool:
    """Whether lists are shown, and a call is answered."""
    shown = {path: client.get(path).status_code for path in LISTS}
    call = client.post("/v1/functions/chat/invoke", json={"input": {"prompt": "x"}})
    assert shown == dict.fromkeys(LISTS, 200)
    return call.status_code == 200


def node(client: FlaskClient, name: str) -> dict[str, Any]:
    [found] = [node for node in client.get("/v1/nodes").get_json()["data"] if node["id"] == name]
    return cast("dict[str, Any]", found)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("state", "paused"),
        ("checkpoints", "c1 c2"),
        ("templates", '{"c1": 2}'),
        ("primed", "["),
        ("asleep", "["),
        ("memory_bytes", "64 GiB"),
        ("memory_bytes", "inf"),
    ],
)
def test_a_node_of_another_release_takes_nothing_new_and_all_others_do(
    client: FlaskClient, redis: Redis, name: str, value: str
) -> None:
    announce_node(redis, "n2")
    start_instance(redis, make_version("v9", name="other"), "x9", "n2")
    redis.hset("qt:node:n2", name, value)
    assert all_else_works(client)
    found = node(client, "n2")
    assert (found["state"] == "draining") is (name == "state")
    assert found["instances"] == 1
    assert found["memory_free_bytes"] == 0 or name == "state"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("device", "npu:0"),
        ("tiers", "[]"),
        ("labels", "zone=a"),
        ("last_seen", "now"),
        ("control_groups", "memory"),
        ("network", "satellite"),
        ("isolation", "iron"),
    ],
)
def test_what_another_release_says_of_its_node_besides_is_left_out(
    client: FlaskClient, redis: Redis, name: str, value: str
) -> None:
    announce_node(redis, "n2")
    redis.hset("qt:node:n2", name, value)
    assert all_else_works(client)
    assert node(client, "n2")["state"] == "ready"


@pytest.mark.parametrize(("name", "value"), [("state", "parked"), ("way", "peer"), ("dedicated", "maybe")])
def test_an_instance_of_another_release_keeps_nothing_from_working(
    client: FlaskClient, redis: Redis, name: str, value: str
) -> None:
    start_instance(redis, make_version("v9", name="other"), "x9")
    redis.hset("qt:instance:x9", name, value)
    assert all_else_works(client)


@pytest.mark.parametrize(("name", "value"), [("state", "parked"), ("usage", '{"joules": 3}'), ("attempts", "few")])
def test_an_invocation_of_another_release_is_refused_alone(
    client: FlaskClient, redis: Redis, name: str, value: str
) -> None:
    identity = client.post("/v1/functions/chat/invoke", json={"input": {"prompt": "x"}}).get_json()["id"]
    redis.hset(f"qt:inv:{identity}", name, value)
    refused = client.get(f"/v1/invocations/{identity}")
    assert (refused.status_code, error_of(refused)["code"]) == (409, "record_unreadable")
    assert f"invocation {identity}" in error_of(refused)["message"]
    assert client.get(f"/v1/invocations/{identity}/events").status_code == 200
    assert all_else_works(client)
