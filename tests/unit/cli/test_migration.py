"""`quickthaw migrate`, and `quickthaw describe` of an invocation: what people and programs read."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from click.testing import Result

from quickthaw.cli import migration
from tests.unit.sdk.fake_gateway import INVOCATION, FakeGateway, failed
from tests.unit.sdk.test_migration_calls import LIFE

Run = Callable[..., Result]

ID = "0123456789abcdef" * 2
HERE = {**INVOCATION, "id": ID, "state": "running", "node": "n1", "result": None}
THERE = {**HERE, "node": "n2", "epoch": 2}


def ok(body: Any) -> httpx.Response:
    return httpx.Response(200, json=body)


def cells(text: str) -> list[list[str]]:
    """What stands in the columns of each line, but for those that say nothing."""
    lines = [[cell.strip() for cell in line.split("  ")] for line in text.splitlines()]
    return [[cell for cell in line if cell not in ("", "-")] for line in lines]


@pytest.fixture(autouse=True)
def no_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migration, "POLL_SECONDS", 0)


def life(invocation: dict[str, Any], *reasons: str) -> httpx.Response:
    """The life of a call, with why it did not move."""
    failed = [{"at": 101.0 + number, "node": "n2", "reason": reason} for number, reason in enumerate(reasons)]
    return ok({**LIFE, "invocation": {**LIFE["invocation"], "ended_at": None, **invocation}, "failed_moves": failed})


MOVING = {**HERE, "epoch": 1}


def test_it_waits_until_the_invocation_runs_there(run: Run) -> None:
    gateway = FakeGateway([life(MOVING), ok(MOVING), life(MOVING), life(THERE)])
    result = run(gateway, "migrate", ID, "n2")
    assert (result.exit_code, result.stdout) == (0, f"{ID} moved from node n1 to n2\n")
    asked = f"GET /v1/invocations/{ID}/life"
    assert gateway.lines == [asked, f"POST /v1/invocations/{ID}/migrate", asked, asked]
    assert gateway.body(1) == {"node": "n2"}


def test_without_a_node_it_goes_wherever_it_can(run: Run) -> None:
    gateway = FakeGateway([life(MOVING), ok(MOVING), life(THERE)])
    assert run(gateway, "migrate", ID).exit_code == 0
    assert gateway.body(1) == {"node": None}


def test_one_that_ends_first_is_not_waited_for(run: Run) -> None:
    ended = {**MOVING, "state": "succeeded"}
    result = run(FakeGateway([life(MOVING), ok(MOVING), life(ended, "it ended first")]), "migrate", ID)
    assert (result.exit_code, result.stdout) == (0, f"{ID} is succeeded on node n1\n")


def test_one_that_will_not_move_is_not_waited_for_and_says_why(run: Run) -> None:
    gateway = FakeGateway(
        [life(MOVING, "before"), ok(MOVING), life(MOVING, "before"), life(MOVING, "before", "no room")]
    )
    result = run(gateway, "migrate", ID)
    assert (result.exit_code, result.stdout) == (1, f"{ID} is running on node n1\n")
    assert "did not move: no room" in result.stderr


def test_it_need_not_wait(run: Run) -> None:
    gateway = FakeGateway([ok(HERE)])
    result = run(gateway, "migrate", ID, "--no-wait")
    assert result.stdout == f"{ID} is running on node n1; it moves\n"
    assert len(gateway.lines) == 1


def test_programs_read_where_it_has_come_to(run: Run) -> None:
    gateway = FakeGateway([life(MOVING), ok(MOVING), life(THERE)])
    found = json.loads(run(gateway, "migrate", ID, "--json").stdout)
    assert (found["node"], found["epoch"]) == ("n2", 2)


def test_what_forbids_it_is_one_line(run: Run) -> None:
    gateway = FakeGateway([life(HERE), failed(409, "conflict", "it is being moved already")])
    result = run(gateway, "migrate", ID)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "it is being moved already" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("name", "expected"),
    [(ID, True), ("chat", False), (ID[:-1], False), (ID + "0", False), (ID.upper(), False), (ID[:-1] + "g", False)],
)
def test_an_invocation_is_told_from_a_function_by_its_name(name: str, expected: bool) -> None:
    assert migration.is_invocation(name) is expected


def test_an_invocations_life_is_a_line_a_step_with_its_epochs_and_gaps(run: Run) -> None:
    gateway = FakeGateway([ok(LIFE)])
    result = run(gateway, "describe", ID)
    assert result.exit_code == 0, result.output
    assert gateway.lines == [f"GET /v1/invocations/{ID}/life"]
    head, _, table = result.stdout.partition("\n\n")
    assert cells(head)[3:6] == [["epochs", "5"], ["moves", "1"], ["longest gap", "1500 ms"]]
    failure, _, rest = table.partition("\n")
    assert failure == "did not move to n3 at +1.000 s: the instance did not start"
    rows = cells(rest)
    assert rows == [
        ["TIME", "EPOCH", "WHAT", "NODE", "INSTANCE", "GAP"],
        ["+0.000 s", "1", "queued"],
        ["+0.500 s", "1", "assigned", "n1", "x1"],
        ["+0.600 s", "1", "running", "n1", "x1"],
        ["+2.000 s", "3", "moved from n1", "n2", "x2", "20 ms without output"],
        ["+3.000 s", "5", "lost: the process died"],
        ["+4.000 s", "5", "assigned", "n1", "x3"],
        ["+4.100 s", "5", "running", "n1", "x3", "1500 ms without output"],
        ["+5.000 s", "5", "succeeded", "n1"],
    ]


def test_a_step_a_rounding_error_before_the_call_was_made_is_at_its_beginning() -> None:
    assert migration._since(1764381600.1234567, 1764381600.1234569) == "+0.000 s"


def test_one_that_failed_says_why(run: Run) -> None:
    ended = {**LIFE["invocation"], "state": "failed", "error": {"message": "no memory"}}
    result = run(FakeGateway([ok({**LIFE, "invocation": ended, "gaps": {}})]), "describe", ID)
    assert "no memory" in result.stdout
    assert ["longest gap"] in cells(result.stdout)


def test_programs_read_its_life(run: Run) -> None:
    found = json.loads(run(FakeGateway([ok(LIFE)]), "describe", ID, "--json").stdout)
    assert found["gaps"] == LIFE["gaps"]
    assert [step["epoch"] for step in found["steps"]] == [None, None, None, 3, 5, None, None]
