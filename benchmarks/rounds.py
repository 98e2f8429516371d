"""Interleaved rounds: every case once a round, so that what else the machine does falls on all of them alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

SETTLE_SECONDS = 0.5
"""Pause before each measurement: idle compute threads spin for up to 0.2 s after their last work."""

T = TypeVar("T")


def order(names: Sequence[str], number: int) -> list[str]:
    """Return the names as round `number` runs them: rotated by one each round, so that no case keeps its place."""
    shift = number % len(names) if names else 0
    return [*names[shift:], *names[:shift]]


def interleave(
    cases: Mapping[str, Callable[[], T]],
    rounds: int,
    console: Console,
    settle_seconds: float = SETTLE_SECONDS,
) -> dict[str, list[T]]:
    """Run every case once in each round, one at a time, showing progress; return each case's results in order."""
    results: dict[str, list[T]] = {name: [] for name in cases}
    with progress_bar(console) as progress:
        task = progress.add_task("", total=rounds * len(cases))
        for number in range(rounds):
            for name in order(list(cases), number):
                announce(progress, task, f"round {number + 1} of {rounds}: {name}")
                time.sleep(settle_seconds)
                results[name].append(cases[name]())
                progress.advance(task)
    return results


def announce(progress: Progress, task: TaskID, what: str) -> None:
    """Say what is measured now: beside the bar, or as a line where the output is a file and shows no bar."""
    progress.update(task, description=what)
    if not progress.console.is_terminal:
        progress.console.print(what)


def progress_bar(console: Console) -> Progress:
    """Return the bar that all benchmarks show."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
