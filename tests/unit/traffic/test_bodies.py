from __future__ import annotations

import json

import pytest

from quickthaw_platform.traffic import bodies
from quickthaw_platform.traffic.bodies import Bodies
from quickthaw_platform.traffic.named import traffic
from quickthaw_platform.traffic.planning import make_plan
from quickthaw_platform.traffic.target import Target

PLAN = make_plan(traffic("constant", rate=5.0, tokens_in=50, tokens_out=9), 1.0)


def test_bodies_come_in_order_whether_they_were_made_ahead_or_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "AHEAD", 2)
    made = Bodies(PLAN, Target("http://h", "m"))
    assert [made.make_one_more() for _ in range(3)] == [True, True, False]
    texts = [json.loads(made.take())["messages"][0]["content"] for _ in range(5)]
    assert texts == [PLAN.text(number) for number in range(5)]
    assert not made.make_one_more()
