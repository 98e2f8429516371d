"""`python -m benchmarks.overhead`: requests through gateway, Redis, agent and instance, with the echo engine.

The engine costs next to nothing, so what is measured is the platform's own work. Each answer must be whole and must be
the one to its own request; any other counts as lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import click
from rich.console import Console

from benchmarks.load import Load, closed_loop
from benchmarks.processes import end_on_sigterm
from benchmarks.report import Cell, Goal, Report, console, publish
from benchmarks.rounds import announce, progress_bar
from benchmarks.served import Served
from benchmarks.sse import Stream
from benchmarks.stats import percentile

FUNCTION = "overhead"
LEVELS = (1, 4, 16, 64, 256)
WARM_UP_SECONDS = 1.0
KEEP_ALIVE_SECONDS = 3600.0
TEXT_CHARACTERS = 32
"""Of a prompt, and so tokens of its answer: the echo engine's tokens are bytes."""


def prompt(number: int) -> str:
    """Return the prompt of request `number`, like no other's."""
    return f"request {number:08d} ".ljust(TEXT_CHARACTERS, ".")


def body(number: int) -> dict[str, Any]:
    """Return the body of request `number`."""
    return {"model": FUNCTION, "prompt": prompt(number), "stream": True, "max_tokens": 2 * TEXT_CHARACTERS}


def lost(streams: Sequence[Stream]) -> dict[int, str]:
    """Return what is wrong with each answer that is not whole or not the one to its request, by its number."""
    return {
        number: stream.error or f"[DONE] {'came' if stream.done else 'is missing'}, text {stream.text!r}"
        for number, stream in enumerate(streams)
        if not stream.complete or stream.text != prompt(number)
    }


def row(concurrency: int, load: Load, platform_cores: float) -> dict[str, Cell]:
    """Return a level's row of the table; times are of whole answers only."""
    missing = lost(load.streams)
    whole = [stream for number, stream in enumerate(load.streams) if number not in missing]
    first = [stream.first_token_seconds * 1000 for stream in whole]
    total = [stream.total_seconds * 1000 for stream in whole]
    return {
        "streams": concurrency,
        "requests": len(load.streams),
        "requests/s": load.requests_per_second,
        "first token p50 ms": _percentile(first, 50),
        "first token p99 ms": _percentile(first, 99),
        "whole p50 ms": _percentile(total, 50),
        "whole p99 ms": _percentile(total, 99),
        "lost": len(missing),
        "client cores": load.client_cores,
        "platform cores": platform_cores,
    }


def _percentile(values: Sequence[float], percent: float) -> float | None:
    return percentile(values, percent) if values else None


def measure(served: Served, levels: Sequence[int], seconds: float, screen: Console) -> list[dict[str, Cell]]:
    """Run every level, fewest streams first; print what was lost."""
    target = served.target("/v1/completions")
    rows = []
    asyncio.run(closed_loop(target, body, 1, WARM_UP_SECONDS))
    with progress_bar(screen) as progress:
        task = progress.add_task("", total=len(levels))
        for concurrency in levels:
            announce(progress, task, f"{concurrency} streams")
            before = served.cpu_seconds()
            load = asyncio.run(closed_loop(target, body, concurrency, seconds))
            rows.append(row(concurrency, load, (served.cpu_seconds() - before) / load.seconds))
            for number, what in list(lost(load.streams).items())[:3]:
                screen.print(f"lost at {concurrency} streams: request {number}: {what}", markup=False)
            progress.advance(task)
    return rows


def report(rows: Sequence[dict[str, Cell]], settings: dict[str, Any]) -> Report:
    """Evaluate the rows."""
    missing = sum(int(row["lost"] or 0) for row in rows)
    return Report("overhead", tuple(rows), (Goal("requests lost", missing, 0, "<="),), settings)


@click.command()
@click.option("--seconds", default=15.0, show_default=True, help="How long each number of streams is kept up.")
@click.option("--streams", "levels", multiple=True, type=click.IntRange(1), default=LEVELS, show_default=True)
@click.option("--quick", is_flag=True, help="Two seconds for each: a smoke test.")
def main(seconds: float, levels: tuple[int, ...], quick: bool) -> None:
    """Measure the platform's own cost; print a table and write benchmarks/results/bench-overhead.json."""
    end_on_sigterm()
    screen = console()
    seconds = 2.0 if quick else seconds
    with Served() as served:
        served.deploy(FUNCTION, engine="echo", concurrency=max(levels), keep_alive=KEEP_ALIVE_SECONDS)
        rows = measure(served, levels, seconds, screen)
    publish(report(rows, {"seconds": seconds, "quick": quick, "tokens": TEXT_CHARACTERS}), screen)


if __name__ == "__main__":
    main()
