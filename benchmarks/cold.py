"""`python -m benchmarks.cold`: request → first token from zero, against the floor and three other ways to start.

All in one run, interleaved: the platform with its function scaled to zero (the node's template there, and killed),
the floor (the same prompt's prefill in a process where all is loaded), and the peers, each started for the request.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import click
from rich.console import Console

from benchmarks.assets import gguf_file, hugging_face_folder, question
from benchmarks.client import stream
from benchmarks.demo.report import STAGES
from benchmarks.peers import ColdPeer
from benchmarks.peers.from_pretrained import FromPretrained
from benchmarks.peers.llamacpp import LlamaCpp
from benchmarks.peers.transformers_serve import TransformersServe
from benchmarks.processes import end_on_sigterm
from benchmarks.reference import Reference
from benchmarks.report import Cell, Goal, Report, console, publish
from benchmarks.rounds import SETTLE_SECONDS, interleave
from benchmarks.served import Served
from benchmarks.stats import Summary, median
from quickthaw.resources import Tier

FUNCTION = "cold"
PLATFORM = "quickthaw"
WITHOUT_TEMPLATE = "quickthaw, template killed"
FROM_DISK = "quickthaw, from disk"
FROM_S3 = "quickthaw, from S3"
TIERS: tuple[Tier, ...] = ("dram", "disk", "remote")
FLOOR = "floor: prefill in a loaded process"
SERVE = TransformersServe.name
LLAMA = "llama.cpp"

FLOOR_RATIO = 1.5
SERVE_FACTOR = 25.0
LLAMA_FACTOR = 4.0


class FromZero:
    """The platform's part: each call begins with no instance of the function."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self._version = served.deploy(FUNCTION, keep_alive=1.0, max_instances=1)
        self._ask()  # the node makes its template at the first start

    def first_token_seconds(self) -> float:
        """Ask with the template there."""
        self._served.wait_for_zero(FUNCTION)
        self._served.wait_until("the node has a template", lambda: self._served.has_template(self._version))
        return self._ask()

    def without_template(self) -> float:
        """Kill the template first."""
        self._served.wait_for_zero(FUNCTION)
        self._served.drop_templates()
        return self._ask()

    def from_tier(self, tier: Tier) -> float:
        """Have the node drop the model, so that its weights come from this tier."""
        self._drop(tier)
        return self._ask()

    def stages(self, tier: Tier) -> dict[str, float]:
        """Return the seconds of each stage of a start from this tier."""
        self._drop(tier)
        time.sleep(SETTLE_SECONDS)
        sampling = {"temperature": 0, "max_tokens": 1}
        return self._served.stages(FUNCTION, {"input": {"messages": question()}, "sampling": sampling})

    def _drop(self, tier: Tier) -> None:
        self._served.wait_for_zero(FUNCTION)
        if tier == "dram":
            self._served.drop_templates()
        else:
            self._served.evict("dram" if tier == "disk" else "disk")

    def _ask(self) -> float:
        time.sleep(SETTLE_SECONDS)  # the node has just ended processes
        body = {"model": FUNCTION, "messages": question(), "stream": True, "max_tokens": 4, "temperature": 0}
        answer = asyncio.run(stream(self._served.target(), body))
        if not answer.complete:
            raise RuntimeError(f"the platform's answer is not whole: {answer.error}")
        return answer.first_token_seconds


def report(seconds: Mapping[str, Sequence[float]], settings: Mapping[str, object]) -> Report:
    """Evaluate what was measured: seconds of each case, by its name."""
    middle = {name: median(values) for name, values in seconds.items()}
    ours = middle[PLATFORM]
    rows = tuple(_row(name, values, ours) for name, values in seconds.items())
    goals = (
        Goal("cold start over the floor", ours / middle[FLOOR], FLOOR_RATIO, "<="),
        Goal(f"times faster than {SERVE}", middle[SERVE] / ours, SERVE_FACTOR, ">="),
        Goal(f"times faster than {LLAMA}", middle[LLAMA] / ours, LLAMA_FACTOR, ">="),
    )
    return Report("cold", rows, goals, settings)


def stage_report(stages: Mapping[Tier, Sequence[Mapping[str, float]]], settings: Mapping[str, object]) -> Report:
    """Put the median seconds of each stage side by side, a column for each tier that the weights came from."""
    names = dict.fromkeys((*STAGES, *(name for runs in stages.values() for run in runs for name in run)))
    columns = {str(tier): runs for tier, runs in stages.items()}
    rows: list[dict[str, Cell]] = [
        {"stage": name} | {tier: median([run.get(name, 0.0) for run in runs]) for tier, runs in columns.items()}
        for name in names
    ]
    rows.append(
        {"stage": "all"} | {tier: median([sum(run.values()) for run in runs]) for tier, runs in columns.items()}
    )
    return Report("cold-stages", tuple(rows), (), settings)


def _row(name: str, seconds: Sequence[float], ours: float) -> dict[str, Cell]:
    summary = Summary.of(seconds)
    return {
        "way": name,
        "first token s (median)": summary.p50,
        "least": summary.least,
        "most": summary.most,
        "× quickthaw": summary.p50 / ours,
        "runs": summary.count,
    }


def _peers(logs: Path) -> list[ColdPeer]:
    folder, gguf = hugging_face_folder(), gguf_file()
    return [
        TransformersServe(folder, logs / "serve.log"),
        FromPretrained(folder, logs / "from_pretrained.log"),
        LlamaCpp(gguf, logs / "llama.log"),
        LlamaCpp(gguf, logs / "llama-tuned.log", tuned=True),
    ]


class Measured(NamedTuple):
    """Seconds of each case by its name, and of the stages of starts from each tier."""

    seconds: dict[str, list[float]]
    stages: dict[Tier, list[dict[str, float]]]


def measure(rounds: int, screen: Console) -> Measured:
    """Run all cases."""
    with (
        tempfile.TemporaryDirectory(prefix="quickthaw-bench-logs-") as logs,
        Served(up_options=["--with-s3"]) as served,
    ):
        peers = _peers(Path(logs))
        platform = FromZero(served)
        with Reference(served.checkpoints, Path(logs) / "engine.log", options={}) as reference:
            reference.prefill_seconds(question())  # the first one pays for what a process does once
            cases: dict[str, Callable[[], float]] = {
                PLATFORM: platform.first_token_seconds,
                WITHOUT_TEMPLATE: platform.without_template,
                FROM_DISK: lambda: platform.from_tier("disk"),
                FROM_S3: lambda: platform.from_tier("remote"),
                FLOOR: lambda: reference.prefill_seconds(question()),
                **{peer.name: peer.first_token_seconds for peer in peers},
            }
            seconds = interleave(cases, rounds, screen)
            stages = {tier: [platform.stages(tier) for _ in range(rounds)] for tier in TIERS}
            return Measured(seconds, stages)


@click.command()
@click.option("--rounds", default=7, show_default=True, type=click.IntRange(1), help="Interleaved rounds.")
@click.option("--quick", is_flag=True, help="One round: a smoke test.")
def main(rounds: int, quick: bool) -> None:
    """Measure cold starts; print a table and write benchmarks/results/bench-cold.json."""
    end_on_sigterm()
    screen = console()
    rounds = 1 if quick else rounds
    measured = measure(rounds, screen)
    settings = {"rounds": rounds, "quick": quick}
    publish(report(measured.seconds, settings), screen)
    publish(stage_report(measured.stages, settings), screen)


if __name__ == "__main__":
    main()
