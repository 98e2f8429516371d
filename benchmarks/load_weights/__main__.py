"""`python -m benchmarks.load_weights`: checkpoint to usable weights, by every way, beside the limits of the machine.

All in one run, interleaved; each measurement is a fresh process that has imported what it needs when the clock starts.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path

import click
from rich.console import Console

from benchmarks.full import full
from benchmarks.load_weights.bucket import Bucket, running_bucket
from benchmarks.load_weights.cases import STATES, Case, State, cases
from benchmarks.load_weights.files import Files, files_of
from benchmarks.load_weights.measure import Measurement, run
from benchmarks.load_weights.picture import draw
from benchmarks.load_weights.results import Result, goals, rows
from benchmarks.load_weights.shapes import SHAPES, TINY, Shape
from benchmarks.processes import end_on_sigterm
from benchmarks.report import RESULTS, Report, console, publish
from benchmarks.rounds import interleave

NAME = "load"


def some_of(known: Collection[str]) -> Callable[[click.Context, click.Parameter, str], tuple[str, ...]]:
    """Return what parses an option that is some of the known names, separated by commas."""

    def parse(_context: click.Context, _option: click.Parameter, text: str) -> tuple[str, ...]:
        unknown = [name for name in text.split(",") if name not in known]
        if unknown:
            raise click.BadParameter(f"{unknown[0]!r} is not one of {', '.join(known)}")
        return tuple(text.split(","))

    return parse


def measure(shapes: Sequence[Shape], states: Sequence[State], rounds: int, screen: Console) -> list[Result]:
    """Run all cases with all shapes and return their results, in the order of the table."""
    with contextlib.ExitStack() as stack:
        logs = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="quickthaw-bench-logs-")))
        files = {shape.name: files_of(shape) for shape in shapes}
        bucket = stack.enter_context(running_bucket(logs / "s3.log", files.values())) if "s3" in states else None
        todo = {f"{shape.name} {case.state}: {case.name}": (shape, case) for shape in shapes for case in cases(states)}
        runs = {
            name: partial(_run, case, files[shape.name], logs / "child.log", bucket)
            for name, (shape, case) in todo.items()
        }
        done = interleave(runs, rounds, screen)
    return [Result(shape.name, shape.bytes, case, done[name]) for name, (shape, case) in todo.items()]


def _run(case: Case, files: Files, log: Path, bucket: Bucket | None) -> Measurement:
    if bucket is None or case.state != "s3":
        return run(case, files, log, {})
    bucket.warm()
    return run(case, files, log, bucket.environment)


@click.command()
@click.option("--shapes", "names", callback=some_of(SHAPES), default="1b", show_default=True)
@click.option("--states", callback=some_of(STATES), default=",".join(STATES), show_default=True)
@click.option("--rounds", default=2, show_default=True, type=click.IntRange(1), help="Interleaved rounds.")
@full("Seven rounds of all shapes.", rounds=7, names=",".join(SHAPES))
@click.option("--quick", is_flag=True, help="One round with a tiny shape: a smoke test.")
def main(names: tuple[str, ...], states: tuple[State, ...], rounds: int, quick: bool) -> None:
    """Measure loading; print a table, write benchmarks/results/bench-load.json and draw bench-load.png."""
    end_on_sigterm()
    screen = console()
    shapes, rounds = ([TINY], 1) if quick else ([SHAPES[name] for name in names], rounds)
    results = measure(shapes, states, rounds, screen)
    settings = {"rounds": rounds, "quick": quick, "shapes": [shape.name for shape in shapes], "states": list(states)}
    publish(Report(NAME, rows(results), goals(results), settings), screen)
    screen.print(f"drawn to {draw(results, RESULTS / f'bench-{NAME}.png')}")


if __name__ == "__main__":
    main()
