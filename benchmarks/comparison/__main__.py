"""`python -m benchmarks.comparison`: serverless or serverful, by a real run, and the prediction checked by two more.

On a platform of its own with SmolLM2, its GGUF file as it is and the fastest engine that is installed: the Azure code
trace (bursts) and conversation trace (smooth), scaled to the machine, on serverless, on one always-on replica, on
`transformers serve` and on llama.cpp's server with the same file. The code run calibrates the simulator; where that
says both cost the same, one more real run on each side of it is compared with what the simulation says of its very
requests.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click
from rich.console import Console

from benchmarks.comparison import documents
from benchmarks.comparison.documents import Found
from benchmarks.comparison.prediction import MOST_ERROR, SERVERFUL, SERVERLESS, Check, check
from benchmarks.comparison.servers import endpoint_options
from benchmarks.machine import ROOT
from benchmarks.processes import end_on_sigterm
from benchmarks.report import RESULTS, Goal, Report, console, publish
from benchmarks.served import Import, Served, program
from quickthaw_platform.comparison.exhibits import CostPoint
from quickthaw_platform.comparison.recorded import read
from quickthaw_platform.comparison.recording import Calibration
from quickthaw_platform.comparison.report import REPORT_FILE
from quickthaw_platform.comparison.report import Report as Comparison
from quickthaw_platform.comparison.simulation import tuned

FUNCTION = "chat"
TRACES = ROOT.parent / "shared" / "data"
FOLDER = RESULTS / "comparison"
KEEP_ALIVE_SECONDS = 2.0
CONCURRENCY = 4
SIDES_OF_BREAK_EVEN = (0.6, 1.3)
"""Rates of the two checking runs, as parts of the predicted break-even rate."""

OFFERS = ("aws-lambda-x86", "ec2-m7i-xlarge")
"""Paid by calls and paid by the hour: the pair of offers whose break-even rate is checked."""

MEMORY_BYTES = 512 << 20
FULL_MINUTES, QUICK_MINUTES = 5.0, 0.5
BOTH = 2


@dataclass(frozen=True, slots=True)
class Traffic:
    """A trace as this machine can serve it: fewer tokens, fewer requests, its own burstiness."""

    name: str
    rate: float
    scale: float

    def options(self) -> list[str]:
        """Return it as the command takes it."""
        return [
            *("--arrivals", self.name, "--trace-dir", str(TRACES), "--rate", f"{self.rate:.4f}"),
            *("--tokens-scale", str(self.scale), "--most-in", "900", "--most-out", "64"),
            *("--slo-ttft", "3s", "--slo-tpot", "250ms"),
        ]


CODE = Traffic("azure-code", rate=0.25, scale=0.08)
CONVERSATION = Traffic("azure-conv", rate=0.2, scale=0.08)


@dataclass(frozen=True, slots=True)
class Runs:
    """Runs `quickthaw compare` against one platform."""

    served: Served
    minutes: float

    def run(self, name: str, traffic: Traffic, options: Sequence[str]) -> Path:
        """Run one comparison into a folder of the results, in place of an earlier one."""
        folder = FOLDER / name
        shutil.rmtree(folder, ignore_errors=True)
        command = [program("quickthaw"), "compare", FUNCTION, *traffic.options(), "--minutes", str(self.minutes)]
        command += ["--repeats", "1", "--out", str(folder), *options]
        environment = os.environ | {"QUICKTHAW_DATA_DIR": str(self.served.data_dir)}
        subprocess.run(command, check=True, env=environment)
        return folder


def crossing(folder: Path) -> float:
    """Return the rate at which both sides cost the same by the pair of offers: the simulation's word, if it has one."""
    report = Comparison.model_validate_json((folder / REPORT_FILE).read_text())
    pair = next(found for found in report.break_evens if (found.serverless_offer, found.serverful_offer) == OFFERS)
    if pair.crossing.value is None:
        raise click.ClickException(f"{folder}: by {' and '.join(OFFERS)} one side is cheaper at every rate")
    return simulated_crossing(pair.points) or pair.crossing.value


def simulated_crossing(points: Sequence[CostPoint]) -> float | None:
    """Return where the simulated costs of both sides cross, on a straight line between two rates; None: nowhere."""
    costs: dict[float, dict[str, float]] = {}
    for point in points:
        if point.simulated and point.per_thousand_requests.value is not None:
            costs.setdefault(point.rate, {})[point.backend] = point.per_thousand_requests.value
    gaps = [(rate, of[SERVERLESS] - of[SERVERFUL]) for rate, of in sorted(costs.items()) if len(of) == BOTH]
    for (rate, gap), (next_rate, next_gap) in itertools.pairwise(gaps):
        if gap < 0 <= next_gap:
            return rate + (next_rate - rate) * gap / (gap - next_gap)
    return None


def calibration_of(folder: Path) -> Calibration:
    """Return what a run measured of this machine, under its traffic."""
    recorded = read(folder)
    found = tuned(recorded.recording, recorded.results).calibration
    if found is None:
        raise click.ClickException(f"{folder}: too few warm requests to calibrate the simulator")
    return found


def rows(checks: Sequence[Check]) -> list[dict[str, str | int | float | None]]:
    """Return a row for each backend of each checking run."""
    return [
        {
            "requests/s": found.rate,
            "backend": name,
            "USD per 1,000, measured": found.measured[name].cost,
            "predicted": found.predicted[name].cost,
            "off by": f"{found.errors(name)[0]:+.1%}",
            "mean TTFT s, measured": found.measured[name].ttft,
            "predicted s": found.predicted[name].ttft,
            "off by ": f"{found.errors(name)[1]:+.1%}",
        }
        for found in checks
        for name in found.measured
    ]


def goals(checks: Sequence[Check]) -> list[Goal]:
    """Return the goals of the prediction."""
    found = []
    for one in checks:
        at = f"at {one.rate:.3f}/s"
        found.append(Goal(f"{at}: the same side is cheaper", float(one.sign_agrees), 1.0, ">="))
        for name in one.measured:
            cost, ttft = one.errors(name)
            found.append(Goal(f"{at}: cost of {name} off by", abs(cost), MOST_ERROR, "<="))
            found.append(Goal(f"{at}: mean TTFT of {name} off by", abs(ttft), MOST_ERROR, "<="))
    return found


@click.command()
@click.option("--minutes", default=1.5, show_default=True, help="Of each trace on each side.")
@click.option("--full", is_flag=True, help="Five minutes of each trace on each side.")
@click.option("--quick", is_flag=True, help="Half a minute of each: a smoke test.")
def main(minutes: float, full: bool, quick: bool) -> None:
    """Run the comparisons and check the prediction; writes benchmarks/results/comparison and the documents' tables."""
    end_on_sigterm()
    screen = console()
    if not TRACES.is_dir():
        raise click.ClickException(f"there are no traces in {TRACES}; docs/benchmarks.md says which they are")
    length = FULL_MINUTES if full else QUICK_MINUTES if quick else minutes
    with Served((Import(),)) as served:
        served.deploy(FUNCTION, keep_alive=KEEP_ALIVE_SECONDS, concurrency=CONCURRENCY, memory=MEMORY_BYTES)
        found = _measured(Runs(served, length), screen)
    settings = {"minutes": length, "offers": " and ".join(OFFERS), "keep-alive s": KEEP_ALIVE_SECONDS}
    publish(Report("comparison", tuple(rows(found.checks)), tuple(goals(found.checks)), settings), screen)
    if not quick:
        documents.publish(found)


def _measured(runs: Runs, screen: Console) -> Found:
    endpoints = endpoint_options()
    prices = [word for offer in OFFERS for word in ("--price", offer)]
    folders = {
        name: runs.run(name, traffic, [*endpoints, "--simulate", *prices])
        for name, traffic in (("code", CODE), ("conversation", CONVERSATION))
    }
    code = folders["code"]
    rate = crossing(code)
    screen.print(f"break-even by {' and '.join(OFFERS)}: {rate:.3f} requests/s", highlight=False)
    calibration = calibration_of(code)
    checks = []
    for part in SIDES_OF_BREAK_EVEN:
        folder = runs.run(f"check-{part}", Traffic(CODE.name, rate * part, CODE.scale), [])
        checks.append(check(folder, calibration, OFFERS))
    return Found(folders, rate, checks, OFFERS, runs.minutes)


if __name__ == "__main__":
    main()
