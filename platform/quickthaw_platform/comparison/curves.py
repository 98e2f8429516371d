"""The data of the figures that show what was measured."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from quickthaw_platform.comparison.estimates import Estimate, Measure
from quickthaw_platform.comparison.exhibits import (
    AttainmentPoint,
    LatencyCurve,
    ParetoPoint,
    Quantile,
    Stage,
    Timeline,
    Waterfall,
)
from quickthaw_platform.comparison.headline import WHICH
from quickthaw_platform.comparison.measuring import Measuring
from quickthaw_platform.comparison.report import Row

Floats = NDArray[np.float64]

CURVES: tuple[Measure, ...] = ("ttft", "e2e")
MOST_POINTS = 400
"""Of a curve: more cannot be seen."""
ORDER = (
    "queue", "tier", "template", "tokenizer", "skeleton", "weights", "fork", "wake", "engine", "handler", "arrival",
    "prefill",
)  # fmt: skip
OTHER = "other"


def latency_curves(measuring: Measuring) -> list[LatencyCurve]:
    """Return the cumulative distributions of all, cold and warm requests; misses keep a curve below 1."""
    found = []
    for backend in measuring.measured():
        matrices = measuring.backends[backend.name]
        for which in WHICH if (matrices.cold == 1).any() else WHICH[:1]:
            count = int((~np.isnan(matrices.only(matrices.met, which))).sum())
            for measure in CURVES:
                values = matrices.only(getattr(matrices, measure), which)
                x, y = distribution(np.sort(values[~np.isnan(values)]), count)
                if len(x):
                    found.append(
                        LatencyCurve(
                            label=backend.name if which == "all" else f"{backend.name}, {which}", backend=backend.name,
                            measure=measure, which=which, count=count, x=x.tolist(), y=y.tolist(),
                        )
                    )  # fmt: skip
    return found


def distribution(values: Floats, count: int) -> tuple[Floats, Floats]:
    """Return points of the distribution of `count` values of which some, the ascending `values`, are known."""
    places = np.arange(len(values))
    if len(values) > MOST_POINTS:
        places = np.unique(np.linspace(0, len(values) - 1, MOST_POINTS).round().astype(np.int64))
    return values[places], (places + 1.0) / max(count, 1)


def waterfalls(measuring: Measuring) -> list[Waterfall]:
    """Return the mean stages of the cold requests of each backend that had any."""
    found = []
    for backend in measuring.measured():
        cold = [r for r in measuring.results(backend.name) if r.cold and r.error is None and r.ttft is not None]
        if not cold:
            continue
        names = sorted({name for result in cold for name in result.stages}, key=_place)
        means = {name: sum(result.stages.get(name, 0.0) for result in cold) / len(cold) for name in names}
        ttft = sum(result.ttft or 0.0 for result in cold) / len(cold)
        means[OTHER] = max(0.0, ttft - sum(means.values()))
        stages = [Stage(name=name, seconds=seconds) for name, seconds in means.items()]
        found.append(Waterfall(backend=backend.name, count=len(cold), stages=stages, ttft=ttft))
    return found


def _place(stage: str) -> tuple[int, str]:
    return (ORDER.index(stage) if stage in ORDER else len(ORDER) - 1, stage)


def timelines(measuring: Measuring) -> list[Timeline]:
    """Return instances and queue over time, block by block."""
    found = []
    for backend in measuring.recording.backends:
        lines = measuring.timeline(backend.name)
        for repeat in sorted({line.repeat for line in lines}):
            mine = [line for line in lines if line.repeat == repeat]
            found.append(
                Timeline(
                    backend=backend.name, repeat=repeat, at=[line.at for line in mine],
                    instances_starting=[line.instances_starting for line in mine],
                    instances_ready=[line.instances_ready for line in mine],
                    in_use=[line.in_use for line in mine], queued=[line.queued for line in mine],
                )
            )  # fmt: skip
    return found


def attainment(measuring: Measuring, rows: Sequence[Row]) -> list[AttainmentPoint]:
    """Return the part within the objective against the rate: one measured point a backend, and the simulated ones."""
    rate = measuring.rate
    measured = [
        AttainmentPoint(
            backend=row.backend, rate=rate, attainment=row.attainment, saturated=row.steadiness.saturated
        )
        for row in rows
        if row.requests
    ]  # fmt: skip
    simulated = [
        AttainmentPoint(
            backend=point.backend, rate=point.rate, simulated=True,
            attainment=Estimate(value=point.slo_attainment, count=point.requests),
        )
        for point in measuring.recorded.simulated
    ]  # fmt: skip
    return measured + simulated


def pareto(rows: Sequence[Row], offers: Sequence[str]) -> list[ParetoPoint]:
    """Return cost and latency of each backend by the offers of a pair; the front is that of the measured points."""
    points = []
    for row in rows:
        for cost in row.costs:
            if cost.offer in offers and cost.per_thousand_requests.value is not None:
                quantile, latency = _latency(row)
                points.append(
                    ParetoPoint(
                        label=f"{row.backend} on {cost.title}", backend=row.backend, offer=cost.offer, ttft_p99=latency,
                        quantile=quantile, per_thousand_requests=cost.per_thousand_requests, front=False,
                        saturated=row.steadiness.saturated,
                    )
                )  # fmt: skip
    return [point.model_copy(update={"front": _on_front(point, points)}) for point in points]


def _latency(row: Row) -> tuple[Quantile, Estimate]:
    """Return the highest quantile of the time to the first token that the row's requests can carry."""
    found = row.latency("ttft", "all")
    if found is None:
        return "p99", Estimate()
    quantiles: dict[Quantile, Estimate] = {"p99": found.p99, "p95": found.p95, "p90": found.p90, "p50": found.p50}
    return next(((name, e) for name, e in quantiles.items() if e.value is not None), ("p50", found.p50))


def _on_front(point: ParetoPoint, points: Sequence[ParetoPoint]) -> bool:
    """Say whether no other is both cheaper and faster, among those of the same quantile."""
    x, y = point.ttft_p99.value, point.per_thousand_requests.value
    if x is None or y is None:
        return False
    return not any(
        other.ttft_p99.value is not None and other.per_thousand_requests.value is not None
        and other.ttft_p99.value <= x and other.per_thousand_requests.value <= y and other is not point
        and (other.ttft_p99.value, other.per_thousand_requests.value) != (x, y) and other.quantile == point.quantile
        for other in points
    )  # fmt: skip
