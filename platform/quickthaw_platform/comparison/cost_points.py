"""Points in a figure of costs: what backends cost at the rates that were measured and simulated."""

from __future__ import annotations

from collections.abc import Sequence

from quickthaw_platform.comparison.estimates import Estimate
from quickthaw_platform.comparison.exhibits import CostPoint
from quickthaw_platform.comparison.measuring import Measuring
from quickthaw_platform.comparison.offers import Pair
from quickthaw_platform.comparison.recording import SimulatedPoint
from quickthaw_platform.comparison.report import Row


def cost_points(measuring: Measuring, pair: Pair, rows: Sequence[Row]) -> list[CostPoint]:
    """Return what the backends cost at the rates that were measured and simulated, by a pair of offers."""
    simulated = [_simulated(pair, point, rows) for point in measuring.recorded.simulated]
    return _measured(measuring, pair, rows) + simulated


def _measured(measuring: Measuring, pair: Pair, rows: Sequence[Row]) -> list[CostPoint]:
    found = []
    for row in rows:
        offer = pair.calls.offer.id if row.kind in ("serverless", "hybrid") else pair.servers.offer.id
        found += [
            CostPoint(
                label=row.backend, backend=row.backend, kind=row.kind, rate=rate,
                per_thousand_requests=cost.per_thousand_requests, saturated=row.steadiness.saturated,
            )
            for cost in row.costs
            if cost.offer == offer
            for rate in [_rate(measuring, row)]
            if rate > 0
        ]  # fmt: skip
    return found


def _rate(measuring: Measuring, row: Row) -> float:
    return row.requests / measuring.observed(row.backend)


def _simulated(pair: Pair, point: SimulatedPoint, rows: Sequence[Row]) -> CostPoint:
    """Return what a simulated point would cost: its instance-seconds of an hour at marginal prices."""
    return CostPoint(
        label=point.label or point.backend, backend=point.backend, kind=point.kind, rate=point.rate,
        per_thousand_requests=Estimate(value=1000 * _simulated_cost(pair, point, rows), count=point.requests),
        simulated=True,
    )  # fmt: skip


def _simulated_cost(pair: Pair, point: SimulatedPoint, rows: Sequence[Row]) -> float:
    """Return what a request costs at a simulated point, in USD.

    Where requests are billed singly, each is billed for as long as it has its slot; where the simulation does not tell
    that, for as long as the measured ones took. Of a hybrid whose base are servers, only those beyond it are.
    """
    price, hour, requests = pair.calls.marginal, point.seconds_by_phase, 3600 * point.rate
    if point.kind in ("serverful", "endpoint"):
        return max(1, point.always_on) * pair.always_on / point.rate
    kept = 3600.0 * point.always_on
    beyond = max(0.0, sum(hour.values()) - kept) / max(sum(hour.values()), 1e-12)
    prices = {"starting": price.starting, "serving": price.busy, "idle": price.idle}
    by_use = beyond * sum(seconds * prices.get(phase, price.draining) for phase, seconds in hour.items())
    warm = next((found for row in rows if row.backend == point.backend for found in [row.latency("e2e", "warm")]), None)
    measured = 0.0 if warm is None else warm.mean.value or 0.0
    held = measured if point.held_mean is None else point.held_mean
    billed = beyond if kept and pair.servers is not pair.calls else 1.0
    return (by_use + kept * pair.always_on) / requests + billed * (held * price.request_second + price.request)
