"""The data of the figures of a report, put together by hand, and estimates to put into it."""

from __future__ import annotations

import numpy as np

from quickthaw_platform.comparison.estimates import Estimate
from quickthaw_platform.comparison.exhibits import (
    Ablation,
    AttainmentPoint,
    BreakEven,
    CostPoint,
    LatencyCurve,
    ParetoPoint,
    Surface,
    Timeline,
)
from tests.unit.comparison.example_run import (
    KINDS,
    RATE,
    REPEATS,
    example_requests,
    example_simulated,
    example_timeline,
)


def around(value: float, part: float = 0.1, count: int = 360) -> Estimate:
    """Return an estimate with an interval of so many parts on either side."""
    return Estimate(value=value, low=value * (1 - part), high=value * (1 + part), count=count)


def too_few(count: int, needed: int) -> Estimate:
    """Return the statement that there are too few values."""
    return Estimate(count=count, needed=needed)


def example_curves() -> list[LatencyCurve]:
    """Return the latency curves of every backend, cold and warm apart where it is serverless."""
    requests = example_requests()
    curves = []
    for name in KINDS:
        for which in ("all", "cold", "warm") if name == "serverless" else ("all",):
            chosen = [r for r in requests if r.backend == name and (which == "all" or r.cold is (which == "cold"))]
            for measure in ("ttft", "e2e"):
                found = sorted(r.ttft if measure == "ttft" else r.e2e for r in chosen if r.ttft is not None)
                curves.append(
                    LatencyCurve(
                        label=f"{name}, {which}", backend=name, measure=measure, which=which, count=len(chosen),
                        x=found, y=[(i + 1) / len(chosen) for i in range(len(found))],
                    )
                )  # fmt: skip
    return curves


def example_timelines() -> list[Timeline]:
    """Return what instances and queues did over time."""
    lines = example_timeline()
    return [
        Timeline(
            backend=name, repeat=repeat, at=[line.at for line in mine],
            instances_starting=[line.instances_starting for line in mine],
            instances_ready=[line.instances_ready for line in mine], in_use=[line.in_use for line in mine],
            queued=[line.queued for line in mine],
        )
        for name in ("serverless", "serverful", "hybrid")
        for repeat in range(REPEATS)
        for mine in [[line for line in lines if (line.backend, line.repeat) == (name, repeat)]]
    ]  # fmt: skip


def example_break_even() -> BreakEven:
    """Return a break-even curve with what was measured and simulated."""
    rates = [float(rate) for rate in np.geomspace(0.01, 4.0, 60)]
    serverful = [0.19 / rate for rate in rates]
    serverless = [0.29 * float(1 - np.exp(-0.5 * rate - 0.4)) / rate for rate in rates]
    return BreakEven(
        title="RunPod L4 against a RunPod L4 pod", serverless_offer="runpod-serverless-l4",
        serverful_offer="runpod-pod-l4", cv=4.0, keep_alive=10.0, service_seconds=around(0.85),
        start_seconds=around(1.5), replicas=1, rates=rates, serverless=serverless,
        low=[0.85 * cost for cost in serverless], high=[1.2 * cost for cost in serverless], serverful=serverful,
        crossing=around(1.35, 0.2), most_rate=4.0,
        points=[
            CostPoint(
                label=label, backend=name, kind=KINDS[name], rate=rate, per_thousand_requests=around(cost),
                simulated=simulated, saturated=rate > 3,
            )
            for label, name, rate, cost, simulated in (
                ("serverless", "serverless", 0.4, 0.33, False), ("serverful", "serverful", 0.4, 0.475, False),
                ("serverless", "serverless", 1.4, 0.14, True), ("serverful", "serverful", 1.4, 0.135, True),
                ("serverful", "serverful", 3.5, 0.055, True), ("hybrid", "hybrid", 0.4, 0.51, False),
            )
        ],
    )  # fmt: skip


def example_surface() -> Surface:
    """Return a surface over rate and burstiness."""
    rates = [float(rate) for rate in np.geomspace(0.01, 4.0, 24)]
    cvs = [1.0, 2.0, 4.0, 8.0]
    return Surface(
        title="RunPod L4 against a RunPod L4 pod", serverless_offer="runpod-serverless-l4",
        serverful_offer="runpod-pod-l4", rates=rates, cvs=cvs,
        ratio=[[1.5 * float(1 - np.exp(-(rate + 0.2) / cv**0.5)) for rate in rates] for cv in cvs],
        crossings=[0.9, 1.35, 2.0, None], here_rate=0.4, here_cv=4.0,
    )  # fmt: skip


def example_pareto() -> list[ParetoPoint]:
    """Return cost against latency of every backend."""
    return [
        ParetoPoint(
            label=name, backend=name, offer="runpod-l4", ttft_p99=around(latency, 0.2), quantile="p99",
            per_thousand_requests=around(cost), front=front, simulated=simulated, saturated=name == "llama",
        )
        for name, latency, cost, front, simulated in (
            ("serverless", 2.1, 0.33, True, False), ("serverful", 0.6, 0.475, True, False),
            ("hybrid", 0.7, 0.51, False, False), ("serverless", 2.4, 0.14, False, True),
        )
    ]  # fmt: skip


def example_attainment() -> list[AttainmentPoint]:
    """Return how many requests stayed within the objective, by rate."""
    measured = [
        AttainmentPoint(backend=name, rate=RATE, attainment=around(value, 0.01))
        for name, value in (("serverless", 0.972), ("serverful", 0.997), ("hybrid", 0.996), ("llama", 0.99))
    ]
    simulated = [
        AttainmentPoint(
            backend=point.backend, rate=point.rate, simulated=True, saturated=point.rate > 1,
            attainment=Estimate(value=point.slo_attainment, count=point.requests),
        )
        for point in example_simulated()
    ]  # fmt: skip
    return measured + simulated


def example_ablations() -> list[Ablation]:
    """Return runs with one part changed."""
    return [
        Ablation(
            part=part, label=label, backend="serverless", baseline=baseline, ttft_mean=around(mean),
            ttft_p50=around(0.3), ttft_p99=around(4 * mean), cold_share=around(0.16), attainment=around(0.97, 0.01),
            device_seconds=around(2.0), comparable=label != "random",
        )
        for part, label, baseline, mean in (
            ("loader", "this run", True, 0.5), ("loader", "from the disk each time", False, 0.9),
            ("keep-alive policy", "histogram", False, 0.44), ("allocation policy", "random", False, 0.5),
        )
    ]  # fmt: skip
