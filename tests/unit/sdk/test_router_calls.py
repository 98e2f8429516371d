from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx

from quickthaw.resources import Explanation, RouterAccuracy
from tests.unit.sdk.fake_gateway import FakeGateway

Call = Callable[..., Any]

OPTION = {
    "node": "n1", "way": "disk", "queue_seconds": 0.5, "load_seconds": 1.0, "init_seconds": 0.25, "room_seconds": 0.0,
    "seconds": 1.75, "verdict": "",
}  # fmt: skip
DECISION = {
    "t": 1.0, "kind": "start", "reason": None, "node": "n1", "instance": "x1", "way": "disk", "estimate_seconds": 1.75,
    "retire": [], "drain": [], "moves": [],
    "considered": [OPTION, {**OPTION, "node": "n2", "way": "remote", "seconds": 9.5, "verdict": "n1 is sooner"}],
}  # fmt: skip
EXPLANATION = {
    "id": "inv-1", "function": "chat", "version": "v1", "state": "succeeded", "node": "n1", "instance": "x1",
    "warm": False, "waited_seconds": 2.0, "decisions": [DECISION],
    "start": {"instance": "x1", "way": "disk", "predicted_seconds": 1.75, "actual_seconds": 1.9},
}  # fmt: skip
ERROR = {"starts": 7, "p50": 0.05, "p90": 0.2, "p99": 0.4, "median_signed": -0.031}
ACCURACY = {"overall": ERROR, "by_way": {"disk": ERROR}}


def test_an_explanation_is_asked_for_by_the_invocation(call: Call) -> None:
    gateway = FakeGateway([httpx.Response(200, json=EXPLANATION)])
    assert call(gateway, "explain", "inv-1") == Explanation.model_validate(EXPLANATION)
    assert gateway.lines == ["GET /v1/invocations/inv-1/explain"]


def test_the_routers_accuracy_is_one_record(call: Call) -> None:
    gateway = FakeGateway([httpx.Response(200, json=ACCURACY)])
    assert call(gateway, "router_accuracy") == RouterAccuracy.model_validate(ACCURACY)
    assert gateway.lines == ["GET /v1/router/accuracy"]
