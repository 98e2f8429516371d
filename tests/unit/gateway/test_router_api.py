"""What the router thought, as the API shows it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask.testing import FlaskClient
from redis import Redis

from quickthaw.resources import Scope
from quickthaw_platform.contracts import Way
from quickthaw_platform.invocations.log import inv_key
from quickthaw_platform.router.accuracy import AccuracyLog, PredictedStart
from tests.unit.gateway.node import FakeNode

INPUT = {"input": {"prompt": "hi"}}


def invoke(client: FlaskClient) -> str:
    answer = client.post("/v1/functions/chat/invoke", json=INPUT)
    assert answer.status_code == 200, answer.text
    return answer.headers["x-invocation-id"]


def explain(client: FlaskClient, invocation: str) -> dict[str, Any]:
    answer = client.get(f"/v1/invocations/{invocation}/explain")
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.get_json()
    return body


def test_a_cold_call_is_explained_by_the_decision_that_started_its_instance(
    client: FlaskClient, node: FakeNode
) -> None:
    found = explain(client, invoke(client))
    assert (found["function"], found["state"], found["node"], found["warm"]) == ("chat", "succeeded", "n1", False)
    [start] = [decision for decision in found["decisions"] if decision["kind"] == "start"]
    assert (start["node"], start["instance"]) == ("n1", found["instance"])
    assert start["considered"][0]["node"] == "n1"
    assert found["start"]["predicted_seconds"] == start["estimate_seconds"]
    assert found["start"]["actual_seconds"] is None


def test_what_the_start_took_is_shown_once_it_is_known(client: FlaskClient, redis: Redis) -> None:
    invocation = invoke(client)
    instance = explain(client, invocation)["instance"]
    AccuracyLog(redis).append([PredictedStart("chat", "n1", instance, Way.DISK, 1.5, 2.5)])
    assert explain(client, invocation)["start"]["actual_seconds"] == 2.5


def test_a_warm_call_needed_no_decision(client: FlaskClient, node: FakeNode) -> None:
    invoke(client)
    found = explain(client, invoke(client))
    assert (found["warm"], found["decisions"], found["start"]) == (True, [], None)
    assert found["waited_seconds"] == 0


def test_a_call_that_still_waits_is_explained_so_far(client: FlaskClient, node: FakeNode, redis: Redis) -> None:
    node.holding = True
    invocation = client.post("/v1/functions/chat/async", json=INPUT).get_json()["id"]
    redis.hincrbyfloat(inv_key(invocation), "created_at", -0.5)
    found = explain(client, invocation)
    assert (found["state"], found["node"], found["warm"]) == ("queued", None, False)
    assert found["waited_seconds"] >= 0.5
    assert [decision["kind"] for decision in found["decisions"]] == ["start"]
    assert found["start"] is None


def test_an_unknown_invocation_is_not_found(client: FlaskClient) -> None:
    answer = client.get("/v1/invocations/nope/explain")
    assert (answer.status_code, answer.get_json()["error"]["code"]) == (404, "invocation_not_found")


def test_accuracy_shows_the_errors_by_way(client: FlaskClient, redis: Redis) -> None:
    assert client.get("/v1/router/accuracy").get_json() == {"overall": None, "by_way": {}}
    AccuracyLog(redis).append([PredictedStart("chat", "n1", "x1", Way.DISK, 3.0, 2.0)])
    found = client.get("/v1/router/accuracy").get_json()
    assert found["overall"] == {"starts": 1, "p50": 0.5, "p90": 0.5, "p99": 0.5, "median_signed": 0.5}
    assert found["by_way"] == {"disk": found["overall"]}


def test_what_the_router_thought_is_for_those_who_deploy(client_of: Callable[..., FlaskClient]) -> None:
    for path in ("/v1/router/accuracy", "/v1/invocations/any/explain"):
        assert client_of(Scope.INVOKE).get(path).status_code == 403
    assert client_of(Scope.DEPLOY).get("/v1/router/accuracy").status_code == 200
