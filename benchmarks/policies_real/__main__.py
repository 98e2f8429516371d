"""`python -m benchmarks.policies_real`: the allocation policies on three real nodes, beside the simulator's word.

deploy/scenarios/real.toml is the only source: the platform is configured from it, and the simulator is given it with
what the idle platform itself takes (a warm call, a start beyond its load), which is measured first. Then each policy
gets the same calls of an Azure trace, each when it is due: on a platform made anew, and in simulation.
"""

from __future__ import annotations

import itertools
import logging
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, pstdev

import click
import psutil
import structlog
from rich.console import Console

from benchmarks.full import full
from benchmarks.machine import ROOT
from benchmarks.policies.report import policies
from benchmarks.policies_real.calibration import Calibration, calibrate
from benchmarks.policies_real.calls import due, replay
from benchmarks.policies_real.nodes import Checkpoints, RealNodes
from benchmarks.policies_real.report import Pair, World, draw, goals, said
from benchmarks.processes import end_on_sigterm
from benchmarks.report import RESULTS, Report, console, publish
from quickthaw_platform.contracts import Way
from quickthaw_platform.simulator.engine import simulate
from quickthaw_platform.simulator.scenario import Scenario, read_scenario

SCENARIO = ROOT / "deploy" / "scenarios" / "real.toml"
CALIBRATION_ROUNDS = 5
LUCKS = 10
"""Simulations of each policy."""

QUICK_CALLS = 150
QUICK_ROUNDS = 2


def on_real_nodes(scenario: Scenario, policy: str, checkpoints: Checkpoints, screen: Console) -> tuple[World, float]:
    """Play the scenario's calls on a platform made anew; returns also how many processors were busy meanwhile."""
    wanted = due(scenario)
    with RealNodes(scenario, policy, checkpoints) as platform:
        before, busy = platform.starts(), _busy_seconds()
        seen = replay(platform, wanted)
        cores = (_busy_seconds() - busy) / wanted[-1].at
        starts = Counter(platform.starts())
    starts.subtract(before)
    for error in [call.error for call in seen if call.error is not None][:3]:
        screen.print(f"lost: {error}", markup=False)
    served = tuple(call.first_token for call in seen if call.first_token is not None)
    return World(served, sum(call.waited for call in seen) / len(seen), starts, len(seen) - len(served)), cores


def in_simulation(scenario: Scenario, policy: str) -> World:
    """Play the same calls in simulated time, LUCKS times: a start that is a little later changes what follows."""
    (keep_alive,) = scenario.keep_alives
    outcomes = [simulate(scenario, policy, keep_alive, chance=chance) for chance in range(LUCKS)]
    served = [tuple(outcome.ttft) for outcome in outcomes]
    calls = sum(sum(outcome.ended.values()) for outcome in outcomes)
    ways = sum((outcome.ways for outcome in outcomes), Counter[Way]())
    first_tokens = tuple(itertools.chain(*served))
    return World(
        first_tokens,
        sum(len(outcome.startup) for outcome in outcomes) / calls,
        {way.value: round(count / LUCKS) for way, count in ways.items()},
        calls - len(first_tokens),
        pstdev(map(fmean, served)),
    )


def compare(
    scenario: Scenario, names: Sequence[str], rounds: int, folder: Path, screen: Console
) -> tuple[Calibration, list[Pair]]:
    """Calibrate, and run each policy in both worlds."""
    checkpoints = Checkpoints(folder, scenario)
    screen.print("calibrating", highlight=False)
    found = calibrate(scenario, checkpoints, rounds)
    screen.print(f"calibrated: {found.settings()}", highlight=False)
    pairs = []
    for policy in names:
        real, cores = on_real_nodes(scenario, policy, checkpoints, screen)
        pair = Pair(policy, real, in_simulation(found.applied_to(scenario), policy), cores)
        pairs.append(pair)
        screen.print(", ".join(f"{name}: {value}" for name, value in pair.row().items()), highlight=False)
    return found, pairs


def _busy_seconds() -> float:
    """Return the processor seconds that the whole machine has used so far."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - times.iowait - times.guest - times.guest_nice)


@click.command()
@click.option("--policy", "names", multiple=True, type=click.Choice(policies()), help="Only this one; repeatable.")
@click.option("--calls", default=500, show_default=True, type=click.IntRange(1), help="As many calls.")
@click.option("--rounds", default=CALIBRATION_ROUNDS, show_default=True, help="Starts by each way in the calibration.")
@full("Four minutes of each policy.", calls=2000)
@click.option("--quick", is_flag=True, help="A few calls of each: a smoke test.")
def main(names: Sequence[str], calls: int, rounds: int, quick: bool) -> None:
    """Run the policies in both worlds; print a table, write benchmarks/results/bench-policies-real.* and a picture."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    end_on_sigterm()
    screen = console()
    scenario = read_scenario(SCENARIO)
    trace = scenario.arrivals.path
    if trace is not None and not trace.exists():
        raise click.ClickException(f"there is no trace at {trace}; docs/benchmarks.md says which one it is")
    if quick:
        calls, rounds = QUICK_CALLS, QUICK_ROUNDS
    scenario = scenario.model_copy(update={"invocations": calls})
    with tempfile.TemporaryDirectory(prefix="quickthaw-bench-") as folder:
        found, pairs = compare(scenario, names or policies(), rounds, Path(folder), screen)
    settings = {
        "calls": scenario.invocations,
        "rounds": rounds,
        "calibration": found.settings(),
    } | said(pairs)
    publish(Report("policies-real", tuple(pair.row() for pair in pairs), goals(pairs), settings), screen)
    publish(Report("policies-real-starts", tuple(pair.starts_row() for pair in pairs), (), settings), screen)
    for world, ranking in said(pairs).items():
        screen.print(f"{world}: {ranking}", highlight=False)
    picture = RESULTS / "bench-policies-real.png"
    draw(pairs, picture)
    screen.print(f"drawn: {picture}")


if __name__ == "__main__":
    main()
