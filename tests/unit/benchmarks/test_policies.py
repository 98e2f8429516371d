"""bench-policies: what is simulated, and the rows and goals that come of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from benchmarks.policies import __main__ as bench
from benchmarks.policies.report import FREE, Point, bounds, cluster_row, draw, goals, policies, speed_report
from quickthaw_platform.simulator.engine import simulate
from quickthaw_platform.simulator.scenario import read_scenario

PAPER = read_scenario(bench.SCENARIOS / "serverless-llm.toml")


def summary(p99: float, **changes: Any) -> dict[str, Any]:
    return {
        "calls": 10, "cold_share": 0.5, "ttft_seconds": {"p50": 1.0, "p99": p99},
        "startup_seconds": {"p50": 1.0, "p99": p99}, "instance_seconds": {"starting": 3600.0},
        "starts": {"template": 1, "dram": 2, "disk": 3, "remote": 4},
    } | changes  # fmt: skip


def point(rate: float, policy: str, p99: float) -> Point:
    return Point.of(rate, policy, [summary(p99)])


def test_a_point_is_the_mean_of_its_seeds_and_counts_starts_together() -> None:
    found = Point.of(0.2, "random", [summary(4.0), summary(8.0, startup_seconds=None)])
    assert (found.first_token_p99, found.waited_p99) == (6.0, 2.0)
    assert (found.near_starts, found.far_starts, found.starting_hours, found.calls) == (6, 14, 2.0, 20)


def test_goals_compare_where_policies_differ_and_say_where_ours_is_worst() -> None:
    points = [
        point(0.2, "startup-time", 10.0), point(0.2, "random", 10.1),  # nothing to choose
        point(0.4, "startup-time", 10.0), point(0.4, "random", 50.0), point(0.4, "least-loaded", 8.0),
        point(0.6, "startup-time", 30.0), point(0.6, "random", 50.0), point(0.6, FREE, 1.0),
    ]  # fmt: skip
    theirs, worst = goals(points)
    assert theirs.name == "first token p99, of random's, mean of 2 rates"
    assert theirs.value == pytest.approx((0.2 + 0.6) / 2)
    assert theirs.bound == 0.25
    assert worst.value == pytest.approx(10 / 8)
    assert not worst.held


def test_bounds_say_what_no_placement_could_improve_upon() -> None:
    rows = bounds([point(0.4, "startup-time", 10.0), point(0.4, "random", 40.0), point(0.4, FREE, 5.0)])
    assert rows[0]["ours / random"] == 0.25
    assert rows[0]["no start time / random"] == 0.125
    assert rows[0]["ours / locality"] is None


def test_without_starts_calls_wait_for_room_alone() -> None:
    quiet = bench.without_starts(bench.of_rate(PAPER, 0.0001, 20))
    outcome = simulate(quiet, "locality", "fixed")
    assert sum(outcome.ended.values()) == 20
    assert max(outcome.starts) < 1e-3
    assert max(simulate(bench.of_rate(PAPER, 0.0001, 20), "locality", "fixed").starts) > 1.0


def test_the_sweep_runs_every_policy_and_the_bound_at_every_rate() -> None:
    points = bench.sweep((0.2, 0.3), (1,), 30, Console(quiet=True))
    assert [p.rate for p in points] == [0.2] * 6 + [0.3] * 6
    assert {p.policy for p in points} == {*policies(), FREE}
    assert all(p.calls == 30 for p in points)
    assert policies()[0] == "startup-time"


def test_without_the_trace_the_large_cluster_is_left_out(tmp_path: Path) -> None:
    assert list(bench.cluster_rows(10, tmp_path / "none.csv.gz")) == []


def test_a_row_of_the_large_cluster_tells_nothing_of_waiting_where_nothing_waited() -> None:
    assert cluster_row(summary(2.0), "random")["starts far"] == 7
    assert cluster_row(summary(2.0, startup_seconds=None), "random")["waited p99 s"] is None


def test_the_speed_is_scaled_to_a_million_calls_by_the_processors_time() -> None:
    (goal,) = speed_report({"calls": 1000, "seconds": 9.0, "processor seconds": 0.2}).goals
    assert goal.value == pytest.approx(200.0)
    assert goal.held


def test_the_picture_has_a_line_for_each_policy(tmp_path: Path) -> None:
    points = [point(0.2, "startup-time", 1.0), point(0.4, "startup-time", 2.0), point(0.2, FREE, 1.0)]
    draw(points, tmp_path / "some" / "where.svg")
    drawn = (tmp_path / "some" / "where.svg").read_text()
    assert f"<!-- {FREE} -->" in drawn
    assert "<!-- startup-time -->" in drawn
    assert "<!-- random -->" not in drawn
