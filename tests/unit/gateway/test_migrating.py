"""Moving invocations over HTTP, and who may."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from redis import Redis

from quickthaw.resources import Scope
from quickthaw_platform.invocations.records import Chunk, Offer
from quickthaw_platform.invocations.store import NOTHING
from quickthaw_platform.worker import commands
from tests.state import announce_node
from tests.unit.gateway.node import FakeNode

INPUT = {"input": {"prompt": "hi"}}


@pytest.fixture
def running(client: FlaskClient, node: FakeNode, redis: Redis) -> str:
    """An invocation that runs on n1, while n2 is there too; n2 begins nothing."""
    node.holding = True
    invocation: str = client.post("/v1/functions/chat/async", json=INPUT).get_json()["id"]
    [instance] = [arguments["instance"] for arguments in node.told(commands.START)]
    assert node.slots.loaded(instance)
    assert node.slots.ready(instance)
    [assignment] = node.store.claim(instance)
    seq = node.store.begin(invocation, assignment.epoch, "n1", instance)
    assert node.store.append(invocation, assignment.epoch, seq, [Chunk.of({"value": 1})])
    announce_node(redis, "n2", memory_bytes=64 << 30, checkpoints='["c1", "e1"]')
    return invocation


@pytest.fixture(autouse=True)
def any_node(node: FakeNode, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take commands for every node."""
    sent = node.sent

    def send_task(name: str, kwargs: dict[str, Any], queue: str, ignore_result: bool, **_: Any) -> None:
        sent.append((name, kwargs))
        if queue == commands.queue_of(node.name) and not node.holding:
            node.handle(name, kwargs)

    monkeypatch.setattr(node, "send_task", send_task)


def migrate(client: FlaskClient, invocation: str, **body: Any) -> tuple[int, dict[str, Any]]:
    answer = client.post(f"/v1/invocations/{invocation}/migrate", json=body)
    return answer.status_code, answer.get_json()


def code_of(body: dict[str, Any]) -> str:
    return str(body["error"]["code"])


def offer_of(node: FakeNode) -> Offer:
    [arguments] = node.told(commands.RECEIVE)
    return Offer(arguments["invocation"], arguments["epoch"], arguments["instance"], "n2")


@pytest.mark.parametrize("body", [{}, {"node": None}, {"node": "n2"}])
def test_a_move_is_begun_and_the_answer_does_not_wait_for_it(
    client: FlaskClient, node: FakeNode, running: str, body: dict[str, Any]
) -> None:
    status, info = migrate(client, running, **body)
    assert (status, info["id"], info["node"], info["epoch"]) == (200, running, "n1", 1)
    assert (offer_of(node).invocation, offer_of(node).epoch) == (running, 2)


def test_its_life_shows_where_it_was(client: FlaskClient, node: FakeNode, running: str) -> None:
    migrate(client, running)
    accepted = node.store.accept(offer_of(node), NOTHING)
    assert accepted is not None
    node.store.append(running, 2, accepted.next_seq, [Chunk.of({"value": 2})])
    answer = client.get(f"/v1/invocations/{running}/life")
    assert answer.status_code == 200
    life = answer.get_json()
    assert (life["invocation"]["node"], life["moves"], list(life["gaps"])) == ("n2", 1, ["2"])
    assert [(step["state"], step["node"], step["moved_from"]) for step in life["steps"]] == [
        ("queued", None, None), ("assigned", "n1", None), ("running", "n1", None), ("running", "n2", "n1"),
    ]  # fmt: skip


def test_what_cannot_move_is_a_conflict_that_says_why(client: FlaskClient, node: FakeNode, running: str) -> None:
    status, body = migrate(client, running, node="n1")
    assert (status, code_of(body)) == (409, "conflict")
    assert "runs on node n1" in body["error"]["message"]
    migrate(client, running)
    status, body = migrate(client, running)
    assert (status, code_of(body)) == (409, "conflict")
    assert "moved already" in body["error"]["message"]
    node.store.cancel(running, "enough")
    status, body = migrate(client, running)
    assert status == 409
    assert "cancelled" in body["error"]["message"]


def test_what_is_not_known_is_not_found(client: FlaskClient, running: str) -> None:
    assert client.get("/v1/invocations/nope/life").status_code == 404
    for invocation, body, code in (
        ("nope", {}, "invocation_not_found"), (running, {"node": "n7"}, "node_not_found"),
    ):  # fmt: skip
        status, answer = migrate(client, invocation, **body)
        assert (status, code_of(answer)) == (404, code)


@pytest.mark.parametrize("body", [{"node": 7}, {"nodes": "n2"}])
def test_a_body_that_says_something_else_is_refused(
    client: FlaskClient, node: FakeNode, running: str, body: dict[str, Any]
) -> None:
    assert migrate(client, running, **body)[0] in (400, 422)
    assert node.told(commands.RECEIVE) == []


@pytest.mark.parametrize(
    ("scope", "may_look", "may_move"),
    [(Scope.INVOKE, False, False), (Scope.DEPLOY, True, False), (Scope.ADMIN, True, True)],
)
def test_those_who_deploy_may_look_and_administrators_move(
    client_of: Callable[..., FlaskClient], running: str, scope: Scope, may_look: bool, may_move: bool
) -> None:
    client = client_of(scope)
    assert client.get(f"/v1/invocations/{running}/life").status_code == (200 if may_look else 403)
    assert migrate(client, running)[0] == (200 if may_move else 403)
