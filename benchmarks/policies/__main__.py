"""`python -m benchmarks.policies`: the allocation policies in simulation, and how fast the simulator is.

The sweep: the cluster of ServerlessLLM's paper (deploy/scenarios/serverless-llm.toml) at several rates of calls, the
same calls for every policy, several seeds. The large cluster: 1,000 devices and 5,000 functions
(deploy/scenarios/thousand.toml) under the arrivals of ServeGen's clients. The speed: the same cluster with the arrivals
of its file, 1,000,000 calls in one process.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import structlog
from rich.console import Console

from benchmarks.full import full
from benchmarks.machine import ROOT
from benchmarks.policies.report import FREE, OURS, Point, bounds, cluster_row, draw, goals, policies, speed_report
from benchmarks.report import RESULTS, Cell, Report, console, publish
from quickthaw_platform.simulator.engine import simulate
from quickthaw_platform.simulator.scenario import Scenario, read_scenario

SCENARIOS = ROOT / "deploy" / "scenarios"
SERVEGEN = ROOT.parent / "shared" / "data" / "servegen_language_m-small_arrivals.csv.gz"
RATES = (0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4)
SERVEGEN_RATE = 300.0
NO_TIME = 10**18
"""Bytes/s: weights are there at once."""

PARTS = ("sweep", "cluster", "speed")


def of_rate(scenario: Scenario, rate: float, calls: int) -> Scenario:
    """Return the scenario with so many calls at another rate."""
    arrivals = scenario.arrivals.model_copy(update={"rate": rate})
    return scenario.model_copy(update={"arrivals": arrivals, "duration": None, "invocations": calls})


def without_starts(scenario: Scenario) -> Scenario:
    """Return the scenario with starts that take no time: what no placement of instances can improve upon."""
    at_once = {"dram": NO_TIME, "disk": NO_TIME, "remote": NO_TIME}
    nodes = [
        node.model_copy(update={"bandwidths": node.bandwidths.model_copy(update=at_once)}) for node in scenario.nodes
    ]
    devices = {
        name: device.model_copy(update={"init_seconds": dict.fromkeys(device.init_seconds, 1e-6)})
        for name, device in scenario.devices.items()
    }
    return scenario.model_copy(update={"nodes": nodes, "devices": devices, "stop": 0.0})


def sweep(rates: Sequence[float], seeds: Sequence[int], calls: int, to: Console) -> list[Point]:
    """Run every policy at every rate, and ours as if starts took no time."""
    given = read_scenario(SCENARIOS / "serverless-llm.toml")
    points = []
    for rate in rates:
        at = of_rate(given, rate, calls)
        cases = {name: (at, name) for name in policies()} | {FREE: (without_starts(at), OURS)}
        for what, (scenario, policy) in cases.items():
            summaries = [simulate(scenario, policy, "fixed", seed).summary(scenario.slo_ttft) for seed in seeds]
            points.append(Point.of(rate, what, summaries))
            to.print(f"{rate} calls/s, {what}: first token p99 {points[-1].first_token_p99:.1f} s", highlight=False)
    return points


def cluster_rows(calls: int, trace: Path = SERVEGEN) -> Iterator[dict[str, Cell]]:
    """Run every policy on the large cluster under ServeGen's arrivals; nothing without the trace."""
    if not trace.exists():
        return
    given = read_scenario(SCENARIOS / "thousand.toml")
    arrivals = given.arrivals.model_copy(update={"kind": "servegen", "path": trace, "rate": SERVEGEN_RATE})
    scenario = given.model_copy(update={"arrivals": arrivals, "invocations": calls})
    for policy in policies():
        yield cluster_row(simulate(scenario, policy, "break-even").summary(scenario.slo_ttft), policy)


def speed(calls: int) -> dict[str, float]:
    """Run the large cluster as its file has it; returns the seconds it took by the clock and of a processor."""
    given = read_scenario(SCENARIOS / "thousand.toml").model_copy(update={"invocations": calls})
    clock, processor = time.perf_counter(), time.process_time()
    outcome = simulate(given, OURS, "break-even")
    return {
        "calls": sum(outcome.ended.values()),
        "seconds": time.perf_counter() - clock,
        "processor seconds": time.process_time() - processor,
        "simulated seconds": outcome.seconds,
    }


@click.command()
@click.option("--part", "parts", multiple=True, type=click.Choice(PARTS), help="Only this; repeatable.")
@click.option(
    "--rate", "rates", multiple=True, type=float, default=RATES, show_default=True, help="Calls/s; repeatable."
)
@click.option("--calls", default=2000, show_default=True, help="Calls of each run of the sweep.")
@click.option("--seeds", default=1, show_default=True, help="Runs of each policy at each rate.")
@click.option("--cluster-calls", default=20_000, show_default=True, help="Calls under ServeGen's arrivals.")
@click.option("--speed-calls", default=200_000, show_default=True, help="Calls by which the speed is measured.")
@full("Three seeds, and as many calls as the documents show.", seeds=3, cluster_calls=100_000, speed_calls=1_000_000)
@click.option("--quick", is_flag=True, help="A few calls of each: a smoke test.")
def main(
    parts: Sequence[str], rates: Sequence[float], calls: int, seeds: int, cluster_calls: int, speed_calls: int,
    quick: bool,
) -> None:  # fmt: skip
    """Simulate the policies; print tables, write benchmarks/results/bench-policies*.json and a picture."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    if quick:
        rates, calls, seeds, cluster_calls, speed_calls = (0.2, 1.4), 100, 1, 500, 2000
    to, wanted = console(), parts or PARTS
    if "sweep" in wanted:
        _sweep(rates, range(1, seeds + 1), calls, to)
    if "cluster" in wanted:
        _cluster(cluster_calls, to)
    if "speed" in wanted:
        publish(speed_report(speed(speed_calls)), to)


def _sweep(rates: Sequence[float], seeds: Sequence[int], calls: int, to: Console) -> None:
    points = sweep(rates, seeds, calls, to)
    settings: dict[str, Any] = {"calls": calls, "seeds": list(seeds)}
    publish(Report("policies", tuple(point.row() for point in points), goals(points), settings), to)
    publish(Report("policies-bounds", tuple(bounds(points)), (), settings), to)
    picture = RESULTS / "bench-policies.png"
    draw(points, picture)
    to.print(f"drawn: {picture}")


def _cluster(calls: int, to: Console) -> None:
    rows = tuple(cluster_rows(calls))
    if rows:
        publish(Report("policies-cluster", rows, (), {"rate": SERVEGEN_RATE}), to)
    else:
        to.print(f"the large cluster under ServeGen's arrivals is left out: there is no trace at {SERVEGEN}")


if __name__ == "__main__":
    main()
