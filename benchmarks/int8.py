"""`python -m benchmarks.int8`: the same model with weights of 8 bits and of 16, in one engine each, interleaved.

Whether eight bits are worth it on this machine: what must be loaded, the prefill, and tokens a second.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import NamedTuple

import click

from benchmarks.assets import DENSE, MODEL, SOURCE, question
from benchmarks.processes import end_on_sigterm
from benchmarks.reference import Reference
from benchmarks.report import Cell, Goal, Report, console, publish
from benchmarks.rounds import interleave
from benchmarks.stats import median
from quickthaw_platform.checkpoints.manifest import Manifest
from quickthaw_platform.checkpoints.store import DiskStore

WAYS: Mapping[str, Sequence[str]] = {"bfloat16": DENSE, "int8": ("--quantize", "int8")}
TOKENS = 48
STREAMS = 8


class Speed(NamedTuple):
    """One round: seconds of a prefill, tokens a second of one stream, and of several together."""

    prefill_seconds: float
    one_stream: float
    streams: float


def measure(reference: Reference) -> Speed:
    """Measure one engine."""
    prefill = reference.prefill_seconds(question())
    return Speed(prefill, _tokens_per_second(reference, 1), _tokens_per_second(reference, STREAMS))


def report(speeds: Mapping[str, Sequence[Speed]], sizes: Mapping[str, int], settings: Mapping[str, object]) -> Report:
    """Evaluate what was measured, by the name of each way."""
    rows: list[dict[str, Cell]] = [
        {
            "weights": name,
            "MB": sizes[name] / 1e6,
            "prefill s": median([run.prefill_seconds for run in runs]),
            "tokens/s, one stream": median([run.one_stream for run in runs]),
            f"tokens/s, {STREAMS} streams": median([run.streams for run in runs]),
            "runs": len(runs),
        }
        for name, runs in speeds.items()
    ]
    gains = [new.one_stream / old.one_stream for old, new in zip(speeds["bfloat16"], speeds["int8"], strict=True)]
    goal = Goal("int8 over bfloat16, tokens/s of one stream", median(gains), 1.0, ">=")
    return Report("int8", tuple(rows), (goal,), settings)


def _tokens_per_second(reference: Reference, count: int) -> float:
    """From the last first token to the last end: the prefills are measured by themselves."""
    streams = reference.streams([question()] * count, TOKENS)
    begin = max(stream.arrivals[0].at for stream in streams)
    return sum(stream.tokens or 0 for stream in streams) / (max(stream.ended for stream in streams) - begin)


def _import(data_dir: Path, options: Sequence[str]) -> DiskStore:
    command = [str(Path(sys.executable).with_name("quickthaw")), "models", "import", SOURCE, "--name", MODEL, *options]
    subprocess.run(command, env={"QUICKTHAW_DATA_DIR": str(data_dir)}, check=True)
    return DiskStore(data_dir / "checkpoints")


@click.command()
@click.option("--rounds", default=9, show_default=True, type=click.IntRange(1), help="Interleaved rounds.")
@click.option("--quick", is_flag=True, help="One round: a smoke test.")
def main(rounds: int, quick: bool) -> None:
    """Compare int8 with bfloat16; print a table and write benchmarks/results/bench-int8.json."""
    end_on_sigterm()
    screen = console()
    rounds = 1 if quick else rounds
    with tempfile.TemporaryDirectory(prefix="quickthaw-bench-") as folder, ExitStack() as stack:
        stores = {name: _import(Path(folder) / name, options) for name, options in WAYS.items()}
        sizes = {name: Manifest.of(store.find(MODEL)).weights_bytes for name, store in stores.items()}
        engines = {
            name: stack.enter_context(Reference(store.root, Path(folder) / f"{name}.log", options={}))
            for name, store in stores.items()
        }
        for engine in engines.values():
            measure(engine)  # the first one pays for what a process does once
        speeds = interleave({name: partial(measure, engine) for name, engine in engines.items()}, rounds, screen)
    publish(report(speeds, sizes, {"rounds": rounds, "quick": quick}), screen)


if __name__ == "__main__":
    main()
