"""What the comparison's benchmark makes of its runs."""

from __future__ import annotations

import pytest

from benchmarks.comparison.__main__ import goals, rows, simulated_crossing
from benchmarks.comparison.prediction import Check, Figures
from quickthaw_platform.comparison.estimates import Estimate
from quickthaw_platform.comparison.exhibits import CostPoint


def point(backend: str, rate: float, cost: float, *, simulated: bool = True) -> CostPoint:
    kind = "serverless" if backend == "serverless" else "serverful"
    return CostPoint.model_validate(
        {"label": backend, "backend": backend, "kind": kind, "rate": rate, "simulated": simulated,
         "per_thousand_requests": Estimate(value=cost)}
    )  # fmt: skip


def test_the_simulated_costs_cross_on_the_line_between_two_rates() -> None:
    points = [
        *(point("serverless", rate, 1.0) for rate in (1.0, 2.0, 4.0)),
        *(point("serverful", rate, 3.0 / rate) for rate in (1.0, 2.0, 4.0)),
        point("serverless", 3.0, 99.0, simulated=False),  # measured: of no account
    ]
    assert simulated_crossing(points) == pytest.approx(2 + 2 * 0.5 / 0.75)


def test_where_one_side_is_always_cheaper_nothing_crosses() -> None:
    points = [point(name, rate, cost) for rate in (1.0, 2.0) for name, cost in (("serverless", 1), ("serverful", 2))]
    assert simulated_crossing(points) is None
    assert simulated_crossing([]) is None


def test_goals_are_the_sign_and_ten_percent_of_cost_and_first_token() -> None:
    measured = {"serverless": Figures(1.0, 0.5), "serverful": Figures(2.0, 0.4)}
    good = Check(0.1, measured, {"serverless": Figures(1.05, 0.52), "serverful": Figures(1.95, 0.41)})
    bad = Check(0.2, measured, {"serverless": Figures(2.5, 0.5), "serverful": Figures(2.0, 0.8)})
    assert all(goal.held for goal in goals([good]))
    missed = [goal.name for goal in goals([bad]) if not goal.held]
    assert [name.split(": ")[1] for name in missed] == [
        "the same side is cheaper", "cost of serverless off by", "mean TTFT of serverful off by"
    ]  # fmt: skip
    assert [row["off by"] for row in rows([good])] == ["+5.0%", "-2.5%"]
