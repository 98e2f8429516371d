"""`quickthaw router`: what people and programs read."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from click.testing import Result

from quickthaw.cli.router import NO_DECISIONS, NO_STARTS, sentence
from quickthaw.resources import Explanation
from tests.unit.sdk.api_answers import INSTANCE, NODE, listed
from tests.unit.sdk.fake_gateway import FakeGateway
from tests.unit.sdk.test_router_calls import ACCURACY, DECISION, EXPLANATION

Run = Callable[..., Result]


def ok(body: Any) -> httpx.Response:
    return httpx.Response(200, json=body)


def test_an_explanation_has_a_sentence_and_a_table_of_options(run: Run) -> None:
    result = run(FakeGateway([ok(EXPLANATION)]), "router", "explain", "inv-1")
    assert result.exit_code == 0, result.output
    first, *rest = result.output.splitlines()
    assert first == (
        "inv-1 of chat (v1) waited 2.000 s for a slot of x1 on node n1, which was started meanwhile from disk in an "
        "estimated 1.750 s, and it took 1.900 s."
    )
    assert any("start on node n1 in c. 1.750 s" in line for line in rest)
    rows = [line.split(maxsplit=12) for line in rest[-3:]]
    assert rows[0] == ["NODE", "WAY", "QUEUE", "LOAD", "INIT", "ROOM", "TOTAL", "VERDICT"]
    assert rows[2][:2] == ["n2", "remote"]
    assert rows[2][-1] == "n1 is sooner"


WAITS = {**DECISION, "kind": "wait", "node": None, "reason": "no room", "drain": ["x9"], "considered": [],
         "moves": [{"invocation": "i7", "instance": "x9", "to_node": "n3"}]}  # fmt: skip
REFUSAL = {**DECISION, "kind": "refuse", "reason": "too large", "considered": []}
RETIRING = {**DECISION, "retire": ["x8"], "considered": []}


@pytest.mark.parametrize(
    ("decision", "line"),
    [
        (WAITS, "wait in c. 1.750 s: no room; x9 gives way; i7 moves to n3"),
        (REFUSAL, "refuse: too large"),
        (RETIRING, "start on node n1 in c. 1.750 s; x8 made room"),
    ],
)
def test_each_kind_of_decision_is_one_line(run: Run, decision: dict[str, Any], line: str) -> None:
    result = run(FakeGateway([ok({**EXPLANATION, "decisions": [decision]})]), "router", "explain", "inv-1")
    assert result.output.rstrip().endswith(line)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"warm": True, "decisions": [], "start": None}, "got a slot of x1 on node n1 at once: an instance was ready."),
        ({"start": None}, "waited 2.000 s for a slot of x1 on node n1, which was not started for it."),
        ({"node": None, "state": "queued", "start": None}, "is queued and has had no slot in 2.000 s."),
        ({"start": {"instance": "x1"}}, "which was started meanwhile from somewhere in no estimate."),
    ],
)
def test_the_sentence_says_what_happened(changed: dict[str, Any], said: str) -> None:
    found = sentence(Explanation.model_validate({**EXPLANATION, **changed}))
    assert found.startswith("inv-1 of chat (v1) ")
    assert found.endswith(said)


def test_without_decisions_it_says_so(run: Run) -> None:
    result = run(FakeGateway([ok({**EXPLANATION, "decisions": []})]), "router", "explain", "inv-1")
    assert NO_DECISIONS in result.output


@pytest.mark.parametrize(
    ("command", "answer"), [(("explain", "inv-1"), EXPLANATION), (("accuracy",), ACCURACY)], ids=["explain", "accuracy"]
)
def test_programs_read_json(run: Run, command: tuple[str, ...], answer: dict[str, Any]) -> None:
    assert json.loads(run(FakeGateway([ok(answer)]), "router", *command, "--json").stdout) == answer


def test_accuracy_is_a_table_by_way(run: Run) -> None:
    lines = run(FakeGateway([ok(ACCURACY)]), "router", "accuracy").stdout.splitlines()
    assert [line.split() for line in lines[1:]] == [
        ["all", "7", "5.0%", "20.0%", "40.0%", "-3.1%"],
        ["disk", "7", "5.0%", "20.0%", "40.0%", "-3.1%"],
    ]


def test_accuracy_without_starts_says_so(run: Run) -> None:
    result = run(FakeGateway([ok({"overall": None, "by_way": {}})]), "router", "accuracy")
    assert (result.stdout, result.stderr.strip()) == ("", NO_STARTS)


def test_ps_shows_what_a_node_reads_with_and_its_labels(run: Run) -> None:
    node = {**NODE, "arriving": {"c1": 512}, "bandwidths": {"dram": 4.2e9, "disk": 5.5e8}, "labels": {"zone": "east"}}
    _, row, *_ = run(FakeGateway([ok(listed(node)), ok(listed(INSTANCE))]), "ps").stdout.splitlines()
    assert {"512 B", "dram 4.2, disk 0.55", "zone=east"} <= {cell.strip() for cell in row.split("  ")}


def test_ps_shows_what_instances_reach_by_network_where_that_is_not_all(run: Run) -> None:
    fetching = {**INSTANCE, "id": "i2", "network": "egress", "egress": ["api.example.com", "10.1.0.0/16:8080"]}
    rows = [INSTANCE, fetching, {**INSTANCE, "id": "i3", "network": "none"}]
    node = {**NODE, "network": "none"}
    _, shown, _, *instances = run(FakeGateway([ok(listed(node)), ok(listed(*rows))]), "ps").stdout.splitlines()
    assert shown.split()[4] == "none"
    assert [row.split("1 B")[1].split()[:-2] for row in instances[1:]] == [
        ["-"],
        ["egress:", "api.example.com,", "10.1.0.0/16:8080"],
        ["none"],
    ]


def test_ps_says_what_a_node_bounds_and_why_not_more(run: Run) -> None:
    node = {**NODE, "control_groups": ["cpu"], "not_bounded": "no controller memory; let the worker have a group"}
    result = run(FakeGateway([ok(listed(node)), ok(listed(INSTANCE))]), "ps")
    assert "n1 bounds in control groups: cpu; no controller memory; let the worker have a group" in result.stderr
    result = run(FakeGateway([ok(listed(NODE)), ok(listed(INSTANCE))]), "ps")
    assert "control groups" not in result.stderr
