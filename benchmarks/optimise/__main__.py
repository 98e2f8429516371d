"""`python -m benchmarks.optimise`: what optimisers find with one budget, on the platform.

On a planted task the best prompt is known: its quality is 1. On GSM8K a small model solves next to nothing, so what is
optimised there is how likely it finds the answers; the gain may be nil.
"""

from __future__ import annotations

import asyncio
import gzip
import itertools
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import mean
from typing import Any

import click

from benchmarks.assets import MODEL
from benchmarks.optimise import planted
from benchmarks.processes import end_on_sigterm
from benchmarks.report import Cell, Goal, Report, console, publish
from benchmarks.served import Import, Served
from quickthaw import AsyncClient, Client, loading
from quickthaw_platform.comparison.machine import source_commit
from quickthaw_platform.optimisation import running
from quickthaw_platform.optimisation.budget import Budget
from quickthaw_platform.optimisation.calling import PlatformCaller, served
from quickthaw_platform.optimisation.journal import Head
from quickthaw_platform.optimisation.optimisers import optimiser_class
from quickthaw_platform.optimisation.result import Result
from quickthaw_platform.optimisation.run import Wish
from quickthaw_platform.optimisation.task import Task

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "optimisation.md"
GSM8K = ROOT.parent / "shared" / "data" / "gsm8k_test.jsonl.gz"
BEGIN, END = "<!-- bench-optimise -->", "<!-- /bench-optimise -->"
OPTIMISERS = ("evolution", "random")
QUICK_SEEDS, SEEDS = 1, 5
QUICK_CALLS, PLANTED_CALLS, GSM8K_CALLS = 200, 800, 90
PARALLEL = 8


def planted_task() -> Task:
    """Return the task of the function `planted`."""
    return Task.model_validate({
        "name": "planted", "instruction": "Answer. Noise harms.", "template": "{instruction}\n{examples}Q {input}",
        "example_template": "E {input} = {expected}\n", "metric": {"kind": "exact"}, "shots": 3,
        "examples": [{"input": str(n), "expected": f"answer {n}"} for n in range(60)],
        "sentences": [*planted.HELP, *planted.HARM],
    })  # fmt: skip


def gsm8k_task(quick: bool) -> Task:
    """Return a slice of GSM8K, scored by how likely the model finds the worked answer."""
    parts = {"train": 8, "dev": 6, "test": 6} if quick else {"train": 12, "dev": 12, "test": 16}
    with gzip.open(GSM8K, "rt") as file:
        rows = [json.loads(line) for line in itertools.islice(file, sum(parts.values()))]
    return Task.model_validate({
        "name": "GSM8K", "instruction": "Answer the question.", "shots": 2,
        "template": "{instruction}\n\n{examples}Question: {input}\nAnswer: ",
        "example_template": "Question: {input}\nAnswer: {expected}\n\n", "metric": {"kind": "loglikelihood"},
        "examples": [{"input": row["question"], "expected": row["answer"]} for row in rows], "split": parts,
    })  # fmt: skip


async def search(
    client: Client, task: Task, function: str, optimiser: str, seed: int, calls: int
) -> tuple[Result, str]:
    """Run a search on the platform; return its result and the best prompt."""
    endpoint = client.endpoint
    with tempfile.TemporaryDirectory() as folder:
        async with AsyncClient(endpoint.url, endpoint.api_key) as calling:
            found = await served(calling, function)
            head = Head(
                task=task.digest, function=function, versions=found.versions, rewriter=None, rewriter_versions=(),
                optimiser=optimiser, seed=seed,
            )  # fmt: skip
            wish = Wish(Budget(calls), seed, PARALLEL)
            caller = PlatformCaller(calling, task, found)
            result = await running.optimise(task, caller, optimiser_class(optimiser), head, wish, Path(folder))
        return result, (Path(folder) / "prompt.txt").read_text()


def key_of(platform: Served) -> str:
    """Return the API key that the platform was begun with."""
    return platform.target().headers["Authorization"].removeprefix("Bearer ")


def row(task: str, optimiser: str, results: list[Result], quality: float | None) -> dict[str, Cell]:
    """Return a row of the table: means over the seeds."""
    return {
        "task": task,
        "optimiser": optimiser,
        "seeds": len(results),
        "calls": mean(result.calls for result in results),
        "start, test": mean(result.start.test.mean for result in results),
        "best, dev": mean(result.best.dev for result in results),
        "best, test": mean(result.best.test.mean for result in results),
        "gain, 95%": str(results[0].gain) if len(results) == 1 else None,
        "planted quality": quality,
    }


def measure(client: Client, quick: bool) -> Iterator[dict[str, Cell]]:
    """Run all searches."""
    calls, seeds = (QUICK_CALLS, QUICK_SEEDS) if quick else (PLANTED_CALLS, SEEDS)
    for optimiser in OPTIMISERS:
        found = [
            asyncio.run(search(client, planted_task(), "planted", optimiser, seed, calls)) for seed in range(seeds)
        ]
        quality = mean(planted.quality(prompt) for _, prompt in found)
        yield row("planted", optimiser, [result for result, _ in found], quality)
    if GSM8K.exists():
        for optimiser in OPTIMISERS:
            calls = 40 if quick else GSM8K_CALLS
            result, _ = asyncio.run(search(client, gsm8k_task(quick), "gsm8k", optimiser, 0, calls))
            yield row("GSM8K, probability of an answer's token", optimiser, [result], None)


def goals(rows: list[dict[str, Cell]]) -> tuple[Goal, ...]:
    """Evolution finds better prompts than random search does with the same calls."""
    ours, random = (float(row["planted quality"] or 0) for row in rows[:2])
    return (Goal("planted quality, evolution less random", ours - random, 0, ">="),)


def markdown(rows: list[dict[str, Cell]]) -> str:
    """Return the table for the document."""
    heads = list(rows[0])
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    lines += ["| " + " | ".join(_cell(row[head]) for head in heads) + " |" for row in rows]
    return "\n".join([*lines, "", f"Commit {source_commit()}, `make bench-optimise WRITE=1`."])


def _cell(value: Cell) -> str:
    return "–" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)


def replaced(text: str, table: str) -> str:
    """Return the document with the table in its place."""
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    return f"{before}{BEGIN}\n\n{table}\n\n{END}{after}"


@click.command()
@click.option("--quick", is_flag=True, help="One seed and few calls: a smoke test.")
@click.option("--write", is_flag=True, help="Put the table into docs/optimisation.md.")
def main(quick: bool, write: bool) -> None:
    """Search, print a table and write benchmarks/results/bench-optimise.json."""
    end_on_sigterm()
    screen = console()
    (function,) = loading.functions(Path(planted.__file__))
    spec: dict[str, Any] = function.spec().model_dump(exclude={"name"})
    with Served((Import(),)) as platform:
        platform.deploy("planted", **spec)
        patient = {"start": 600, "first_token": 600, "total": 900}  # a busy machine is no candidate's fault
        platform.deploy("gsm8k", model=MODEL, keep_alive=600.0, limits=patient)
        with Client(platform.url, key_of(platform)) as client:
            rows = list(measure(client, quick))
    publish(Report("optimise", tuple(rows), goals(rows), {"quick": quick}), screen)
    if write:
        DOCUMENT.write_text(replaced(DOCUMENT.read_text(), markdown(rows)))


if __name__ == "__main__":
    main()
