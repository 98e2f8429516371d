"""`python -m benchmarks.load_generator`: does `quickthaw load` see what a public generator (guidellm) sees?

Both send the same number of requests at the same constant rate to one endpoint whose delays are fixed, in turn. Two
clocks are compared: from when a request was to be sent, and from when the generator began to send it; guidellm's own
"time to first token" starts at the latter.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from benchmarks.load_generator.generators import Case, GuideLlm, Ours
from benchmarks.load_generator.report import report
from benchmarks.processes import end_on_sigterm, end_tree
from benchmarks.report import console, publish
from benchmarks.rounds import interleave


@contextmanager
def serving(first_ms: float, gap_ms: float) -> Iterator[str]:
    """Run the endpoint as a process of its own; gives its URL."""
    command = [sys.executable, "-m", "benchmarks.load_generator.server", f"--first-ms={first_ms}", f"--gap-ms={gap_ms}"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        if not url:
            raise RuntimeError(f"the endpoint ended with {process.wait()}")
        yield url
    finally:
        end_tree(process.pid)
        process.communicate()


@click.command()
@click.option("--rounds", default=5, show_default=True)
@click.option("--requests", default=120, show_default=True, help="In each round.")
@click.option("--rate", default=4.0, show_default=True, help="Requests per second.")
@click.option("--tokens", default=50, show_default=True, help="Of each answer.")
@click.option("--first-ms", default=100.0, show_default=True, help="What the endpoint takes for the first token.")
@click.option("--gap-ms", default=20.0, show_default=True, help="What it takes for each further one.")
@click.option("--python", type=click.Path(exists=True, path_type=Path), help="One that has guidellm; else it is made.")
@click.option("--quick", is_flag=True, help="Ten requests, one round: a smoke test.")
def main(
    rounds: int, requests: int, rate: float, tokens: int, first_ms: float, gap_ms: float, python: Path | None,
    quick: bool,
) -> None:  # fmt: skip
    """Measure both; print a table and write benchmarks/results/bench-load-generator.json."""
    end_on_sigterm()
    screen = console()
    case = Case(10 if quick else requests, rate, 10 if quick else tokens)
    with tempfile.TemporaryDirectory(prefix="quickthaw-bench-") as folder, serving(first_ms, gap_ms) as url:
        ours, theirs = Ours(url, case, Path(folder)), GuideLlm(url, case, Path(folder), python)
        found = interleave({ours.name: ours.run, theirs.name: theirs.run}, 1 if quick else rounds, screen)
    settings = {"requests": case.requests, "rate": rate, "tokens": case.tokens, "first_ms": first_ms, "gap_ms": gap_ms}
    publish(report(found, settings | {"rounds": 1 if quick else rounds, "quick": quick}), screen)


if __name__ == "__main__":
    main()
