"""Moving invocations and their lives, by both clients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from quickthaw import Conflict, Unavailable
from quickthaw.resources import InvocationLife
from quickthaw.types import InvocationInfo
from tests.unit.sdk.fake_gateway import INVOCATION, FakeGateway, failed

Call = Callable[..., Any]

LIFE: dict[str, Any] = {
    "invocation": {**INVOCATION, "node": "n1", "epoch": 5, "created_at": 100.0, "ended_at": 105.0},
    "steps": [
        {"at": 100.0, "state": "queued"},
        {"at": 100.5, "state": "assigned", "node": "n1", "instance": "x1"},
        {"at": 100.6, "state": "running", "node": "n1", "instance": "x1"},
        {"at": 102.0, "state": "running", "node": "n2", "instance": "x2", "moved_from": "n1", "epoch": 3},
        {"at": 103.0, "state": "queued", "reason": "the process died", "epoch": 5},
        {"at": 104.0, "state": "assigned", "node": "n1", "instance": "x3"},
        {"at": 104.1, "state": "running", "node": "n1", "instance": "x3"},
    ],
    "moves": 1,
    "failed_moves": [{"at": 101.0, "node": "n3", "reason": "the instance did not start"}],
    "gaps": {"3": 0.02, "5": 1.5},
}


def test_a_life_is_one_record(call: Call) -> None:
    gateway = FakeGateway([httpx.Response(200, json=LIFE)])
    life = call(gateway, "life", "inv-1")
    assert life == InvocationLife.model_validate(LIFE)
    assert life.gaps == {3: 0.02, 5: 1.5}
    assert gateway.lines == ["GET /v1/invocations/inv-1/life"]


@pytest.mark.parametrize(("nodes", "sent"), [((), None), (("n2",), "n2")])
def test_a_move_names_a_node_or_none(call: Call, nodes: tuple[str, ...], sent: str | None) -> None:
    gateway = FakeGateway([httpx.Response(200, json=INVOCATION)])
    assert call(gateway, "migrate", "inv-1", *nodes) == InvocationInfo.model_validate(INVOCATION)
    assert gateway.lines == ["POST /v1/invocations/inv-1/migrate"]
    assert gateway.body() == {"node": sent}


def test_what_forbids_a_move_is_a_conflict(call: Call) -> None:
    with pytest.raises(Conflict, match="runs on node n1"):
        call(FakeGateway([failed(409, "conflict", "it runs on node n1")]), "migrate", "inv-1", "n1")


def test_a_move_whose_answer_was_lost_is_not_asked_for_again(call: Call) -> None:
    """It may have begun: a second one would be refused, or move it on."""
    gateway = FakeGateway([failed(503, "unavailable"), httpx.Response(200, json=INVOCATION)])
    with pytest.raises(Unavailable):
        call(gateway, "migrate", "inv-1")
    assert len(gateway.lines) == 1


def test_a_look_at_a_life_is_repeated(call: Call) -> None:
    gateway = FakeGateway([failed(503, "unavailable"), httpx.Response(200, json=LIFE)])
    assert call(gateway, "life", "inv-1").moves == 1
