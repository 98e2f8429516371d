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

import click
from rich.console import Console

from benchmarks.assets import gguf_file, hugging_face_folder, question
from benchmarks.client import stream
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

FUNCTION = "cold"
PLATFORM = "quickthaw"
WITHOUT_TEMPLATE = "quickthaw, template killed"
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
        served.deploy(FUNCTION, keep_alive=1.0, max_instances=1)
        self._ask()  # the node makes its template at the first start

    def first_token_seconds(self) -> float:
        """Ask with the template there."""
        self._served.wait_for_zero(FUNCTION)
        self._served.wait_for_template()
        return self._ask()

    def without_template(self) -> float:
        """Kill the template first."""
        self._served.wait_for_zero(FUNCTION)
        self._served.drop_templates()
        return self._ask()

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


def measure(rounds: int, screen: Console) -> dict[str, list[float]]:
    """Run all cases and return their seconds, by name."""
    with tempfile.TemporaryDirectory(prefix="quickthaw-bench-logs-") as logs, Served() as served:
        peers = _peers(Path(logs))
        platform = FromZero(served)
        with Reference(served.checkpoints, Path(logs) / "engine.log", options={}) as reference:
            reference.prefill_seconds(question())  # the first one pays for what a process does once
            cases: dict[str, Callable[[], float]] = {
                PLATFORM: platform.first_token_seconds,
                WITHOUT_TEMPLATE: platform.without_template,
                FLOOR: lambda: reference.prefill_seconds(question()),
                **{peer.name: peer.first_token_seconds for peer in peers},
            }
            return interleave(cases, rounds, screen)


@click.command()
@click.option("--rounds", default=7, show_default=True, type=click.IntRange(1), help="Interleaved rounds.")
@click.option("--quick", is_flag=True, help="One round: a smoke test.")
def main(rounds: int, quick: bool) -> None:
    """Measure cold starts; print a table and write benchmarks/results/bench-cold.json."""
    end_on_sigterm()
    screen = console()
    rounds = 1 if quick else rounds
    seconds = measure(rounds, screen)
    publish(report(seconds, {"rounds": rounds, "quick": quick}), screen)


if __name__ == "__main__":
    main()
