"""What a request counts for until its answer has been sent, and what else budgets refuse over HTTP."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient
from flask_openapi3.openapi import OpenAPI
from redis import Redis

from quickthaw.resources import Quotas, Scope
from quickthaw_platform.gateway.services import EXTENSION
from quickthaw_platform.registry.keys import KeyStore
from quickthaw_platform.settings import Settings
from tests.unit.gateway.conftest import ECHO, Relay
from tests.unit.gateway.node import FakeNode
from tests.valkey_process import ValkeyProcess

FOLLOW = "/v1/functions/chat/logs?follow=true"
INPUT = {"input": {"prompt": "hi"}}


@pytest.fixture(scope="module")
def narrow(valkey: ValkeyProcess, relay: Relay) -> Iterator[OpenAPI]:
    """A gateway that serves two requests of a key at a time."""
    with valkey.client() as redis:
        app = relay.app(Settings(redis_url=valkey.url, max_open_requests=2), redis)
        yield app
        app.extensions[EXTENSION].close()


def caller_of(app: OpenAPI, redis: Redis, **quotas: object) -> FlaskClient:
    made = app.test_client()
    key = KeyStore(redis).create("test", [Scope.ADMIN], Quotas(**quotas)).key
    made.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {key}"
    return made


def test_streams_count_until_they_are_closed(narrow: OpenAPI, node: FakeNode, relay: Relay, redis: Redis) -> None:
    relay.node = node
    mine, other = caller_of(narrow, redis), caller_of(narrow, redis)
    assert mine.post("/v1/functions", json=ECHO, buffered=True).status_code == 200
    first, second = mine.get(FOLLOW), mine.get(FOLLOW)
    refused = mine.get("/v1/functions", buffered=True)
    assert refused.json is not None
    assert (refused.status_code, refused.json["error"]["code"]) == (429, "too_many_open_requests")
    assert refused.headers["Retry-After"] == "1"
    assert mine.delete("/v1/invocations/none", buffered=True).status_code == 404  # what ends calls is served
    assert other.get("/v1/functions", buffered=True).status_code == 200
    first.close()
    assert mine.get("/v1/functions", buffered=True).status_code == 200
    second.close()
    third, fourth = mine.get(FOLLOW), mine.get(FOLLOW)
    assert (third.status_code, fourth.status_code) == (200, 200)
    third.close()
    fourth.close()


def test_answers_of_every_kind_count_no_more_when_they_are_there(
    narrow: OpenAPI, node: FakeNode, relay: Relay, redis: Redis
) -> None:
    relay.node = node
    caller = caller_of(narrow, redis)
    assert caller.post("/v1/functions", json=ECHO, buffered=True).status_code == 200
    for _ in range(3):
        assert caller.head("/v1/functions", buffered=True).status_code == 200
        assert caller.get("/v1/functions/none", buffered=True).status_code == 404
        assert caller.post("/v1/functions/chat/invoke", data="{", buffered=True).status_code == 400
        assert caller.post("/v1/functions/chat/invoke", json=INPUT, buffered=True).status_code == 200
        assert caller.get("/v1/nowhere", buffered=True).status_code == 404


def test_a_call_beyond_what_its_key_may_hold_is_refused(
    narrow: OpenAPI, node: FakeNode, relay: Relay, redis: Redis
) -> None:
    relay.node = node
    caller = caller_of(narrow, redis, store_bytes=20_000)
    assert caller.post("/v1/functions", json=ECHO, buffered=True).status_code == 200
    too_large = caller.post("/v1/functions/chat/invoke", json={"input": {"prompt": "x" * 30_000}}, buffered=True)
    assert (too_large.status_code, too_large.json["error"]["code"]) == (413, "store_budget_exceeded")  # type: ignore[index]
    answers = [caller.post("/v1/functions/chat/invoke", json=INPUT, buffered=True) for _ in range(20)]
    assert answers[0].status_code == 200
    assert (answers[-1].status_code, answers[-1].json["error"]["code"]) == (429, "store_budget_exceeded")  # type: ignore[index]
    assert int(answers[-1].headers["Retry-After"]) > 0


@pytest.mark.parametrize(
    ("field", "value"),
    [("memory", 0), ("weight", 1e300), ("keep_alive", 1e18), ("max_instances", 5), ("replicas", 5)],
)
def test_a_deploy_beyond_what_its_key_may_is_refused_with_the_field(
    narrow: OpenAPI, node: FakeNode, relay: Relay, redis: Redis, field: str, value: float
) -> None:
    relay.node = node
    deployer = caller_of(narrow, redis, max_instances=4)
    answer = deployer.post("/v1/functions", json={**ECHO, field: value}, buffered=True)
    assert answer.status_code == 400
    assert answer.json is not None
    assert answer.json["error"]["param"] == field
    assert deployer.post("/v1/functions", json={**ECHO, "max_instances": 4}, buffered=True).status_code == 200


@pytest.mark.parametrize("position", ["99999999999999999999-0", "1-18446744073709551616"])
def test_a_position_that_no_store_reads_is_refused_before_others_share_it(client: FlaskClient, position: str) -> None:
    answer = client.get(f"/v1/functions/chat/logs?follow=true&after={position}")
    assert answer.status_code == 400
    assert answer.json is not None
    assert answer.json["error"]["param"] == "after"
