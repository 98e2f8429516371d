"""`python -m benchmarks.compress`: what compression keeps, what answers lose, and from which length on it pays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console

from benchmarks.assets import DENSE, SOURCE
from benchmarks.compress.answers import EXAMPLES, ORIGINAL, WAYS, answer_rows, measured
from benchmarks.compress.asking import Asker
from benchmarks.compress.choices import CHOICES
from benchmarks.compress.lingua import Lingua
from benchmarks.compress.safety import BAD, DATA, corpora, safety_row
from benchmarks.compress.tasks import tasks
from benchmarks.compress.timing import break_even, time_rows
from benchmarks.machine import ROOT
from benchmarks.processes import end_on_sigterm
from benchmarks.report import Cell, Goal, Report, console, publish
from benchmarks.rounds import announce, progress_bar
from benchmarks.served import Import, Served
from benchmarks.written import write

RATIO = 0.5
GGUF, DENSE_NAME = "smollm2-gguf", "smollm2-dense"
ENGINES = {"llamacpp": GGUF, "transformers": DENSE_NAME}
LEAST_SHORTER, MOST_LOSS_PERCENT = 2.0, 2.0
AS_SHORT = 0.95
"""Other ways count as short as ours from this part of its ratio on: words have tokens of their own number."""

SIZES = {  # fuzzed prompts, tasks of each kind, examples in a prompt, tokens of timed prompts, repetitions
    "quick": (500, 1, 3, (200, 400), 1),
    "usual": (10_000, 6, 5, (250, 500, 1000), 2),
    "full": (10_000, 50, 8, (250, 500, 1000, 2000, 4000), 5),
}


@click.command()
@click.option("--quick", is_flag=True, help="A trial of a minute or two; its numbers mean nothing.")
@click.option("--full", is_flag=True, help="Fifty tasks of each kind; an hour or more.")
@click.option("--lingua", type=click.Path(path_type=Path, exists=True), help="Python that has llmlingua installed.")
@click.option("--write", "into_document", is_flag=True, help="Write the tables into docs/prompts.md.")
def main(quick: bool, full: bool, lingua: Path | None, into_document: bool) -> None:
    """Measure; without ../shared/data there is nothing to measure on."""
    if not DATA.is_dir():
        raise click.ClickException(f"the texts are read from {DATA}, which is not there")
    end_on_sigterm()
    size = "quick" if quick else "full" if full else "usual"
    shown = console()
    reports = []
    for report in _measured(size, lingua, shown):
        publish(report, shown)
        reports.append(report)
    if into_document:
        write(reports, ROOT / "docs" / "prompts.md", "bench-compress")


def _safety(size: str) -> Report:
    rows = [safety_row(name, texts, RATIO) for name, texts in corpora(SIZES[size][0])]
    wrong = sum(int(row[str(reason)] or 0) for row in rows for reason in BAD)
    goal = Goal("empty, lost, changed or invalid results", wrong, 0, "<=")
    return Report("compress-safety", tuple(rows), (goal,), {"ratio": RATIO, "by": "frequency"})


def _measured(size: str, lingua: Path | None, shown: Console) -> Iterator[Report]:
    yield _safety(size)
    yield from _served(size, lingua, shown)


def _served(size: str, lingua: Path | None, shown: Console) -> Iterator[Report]:
    _, each, shots, lengths, repetitions = SIZES[size]
    imports = (Import(GGUF, SOURCE), Import(DENSE_NAME, SOURCE, DENSE))
    with Served(imports) as served, _lingua(lingua) as other:
        for engine, model in ENGINES.items():
            served.deploy(engine, model=model, engine=engine, keep_alive="1h", memory="1GiB")
        tokenizer = next(served.checkpoints.rglob("tokenizer.json"))
        askers = {engine: Asker(served.target(), engine, tokenizer) for engine in ENGINES}
        asker = askers["transformers"]  # the same weights, read in less time
        found = []
        with progress_bar(shown) as progress:
            wanted = list(tasks(each, shots))
            bar = progress.add_task("answers", total=len(wanted))
            for number, task in enumerate(wanted, 1):
                announce(progress, bar, f"answers: {number} of {len(wanted)}, {task.kind}")
                found.append(measured(task, RATIO, asker, other))
                progress.advance(bar)
        yield answers_report(answer_rows(found), {"ratio": RATIO, "tasks of each kind": each, "examples": shots})
        timed: list[Mapping[str, Cell]] = []
        for engine in ENGINES:
            timed += time_rows(engine, askers[engine], askers["llamacpp"], lengths, repetitions, RATIO)
        yield Report("compress-time", tuple(timed), (), {"break-even tokens": break_even(timed), "ratio": RATIO})


def answers_report(rows: list[Mapping[str, Cell]], settings: Mapping[str, Cell]) -> Report:
    """Return the rows, with the goals that GSM8K's have to keep: short, as likely, and likelier than by other ways."""
    found = [row for row in rows if row["prompts"] == "GSM8K"]
    own = next(row for row in found if row["way"] == EXAMPLES)
    shorter, nats = (float(own[name] or 0) for name in ("times shorter", "nats, %"))
    others = [row for row in found if row["way"] not in (ORIGINAL, *WAYS, *CHOICES)]
    as_short = [float(row["nats, %"] or 0) for row in others if float(row["times shorter"] or 0) >= AS_SHORT * shorter]
    goals = (
        Goal(f"times shorter: {EXAMPLES}", shorter, LEAST_SHORTER, ">="),
        Goal(f"percent more nats: {EXAMPLES}", nats, MOST_LOSS_PERCENT, "<="),
        Goal("percent more nats of the best other way that is as short, less those", min(as_short) - nats, 0, ">="),
    )
    return Report("compress-answers", tuple(rows), goals, settings)


@contextmanager
def _lingua(python: Path | None) -> Iterator[Lingua | None]:
    if python is None:
        yield None
        return
    with Lingua(python) as running:
        yield running


if __name__ == "__main__":
    main()
