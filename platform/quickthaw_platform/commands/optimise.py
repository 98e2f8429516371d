"""`quickthaw optimise`: the instruction and the examples with which a function answers a task best."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TypedDict, Unpack

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from quickthaw import AsyncClient
from quickthaw.cli import output
from quickthaw.cli.root import State, pass_state
from quickthaw_platform import plugins, signals
from quickthaw_platform.optimisation import running
from quickthaw_platform.optimisation.budget import Budget
from quickthaw_platform.optimisation.calling import PlatformCaller, served
from quickthaw_platform.optimisation.journal import Head
from quickthaw_platform.optimisation.optimisers import optimiser_class
from quickthaw_platform.optimisation.result import Judged, Result
from quickthaw_platform.optimisation.run import Progress as Report
from quickthaw_platform.optimisation.run import Wish
from quickthaw_platform.optimisation.task import Task, read_task
from quickthaw_platform.optimisation.writing import PROMPT_FILE

_COUNT = click.IntRange(min=1)


class _Choices(TypedDict):
    function: str
    budget: int
    budget_tokens: int | None
    optimiser: str
    rewriter: str | None
    out: Path
    resume: bool
    parallel: int
    seed: int | None
    progress: bool
    as_json: bool


@click.command("optimise")
@click.argument("task", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--function", required=True, metavar="NAME", help="The function (or function:alias) that answers.")
@click.option("--budget", required=True, type=click.IntRange(min=0), metavar="CALLS",
              help="Most calls of all functions together, the final test included.")  # fmt: skip
@click.option("--budget-tokens", type=click.IntRange(min=0), metavar="TOKENS",
              help="Most tokens, in and out, of all calls [default: no limit].")  # fmt: skip
@click.option("--optimiser", default="evolution", show_default=True, metavar="NAME",
              help=f"What searches: {', '.join(plugins.names(plugins.OPTIMISERS))}.")  # fmt: skip
@click.option("--rewriter", metavar="NAME",
              help="A function that rewrites instructions, such as functions/optimise [default: none; sentences and "
              "examples are changed without a model].")  # fmt: skip
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), metavar="FOLDER",
              help="Where the prompt, the result and the journal are written.")  # fmt: skip
@click.option("--resume", is_flag=True, help="Go on with the search that lies in the folder; its answers cost nothing.")
@click.option("--parallel", type=_COUNT, default=8, show_default=True, metavar="COUNT", help="Calls at once.")
@click.option("--seed", type=click.IntRange(min=0), help="Of the search [default: the task's].")
@click.option("--progress/--no-progress", default=True, help="Show a progress bar on a terminal.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@pass_state
def optimise(state: State, task: Path, **options: Unpack[_Choices]) -> None:
    """Search for the instruction and few-shot examples with which a function does TASK best, a TOML file.

    They are chosen on a part of the examples and tested once, at the end, on another. Ctrl-C stops; --resume goes on.
    See docs/optimisation.md.
    """
    signals.supervise()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C
    read = read_task(task)
    endpoint = state.client.endpoint
    try:
        result = asyncio.run(_run(AsyncClient(endpoint.url, endpoint.api_key), read, options))
    except KeyboardInterrupt:
        raise click.ClickException("stopped; the same command with --resume goes on") from None
    click.echo(result.model_dump_json(indent=2)) if options["as_json"] else _tell(result, options["out"])


async def _run(client: AsyncClient, task: Task, options: _Choices) -> Result:
    optimiser = optimiser_class(options["optimiser"])
    seed = task.seed if options["seed"] is None else options["seed"]
    async with client:
        function = await served(client, options["function"])
        rewriter = None if options["rewriter"] is None else await served(client, options["rewriter"])
        head = Head(
            task=task.digest, function=options["function"], versions=function.versions, rewriter=options["rewriter"],
            rewriter_versions=() if rewriter is None else rewriter.versions, optimiser=options["optimiser"], seed=seed,
        )  # fmt: skip
        wish = Wish(Budget(options["budget"], options["budget_tokens"]), seed, options["parallel"], options["resume"])
        caller = PlatformCaller(client, task, function, rewriter)
        with _shown(options) as progress:
            return await running.optimise(task, caller, optimiser, head, wish, options["out"], progress)


@contextlib.contextmanager
def _shown(options: _Choices) -> Iterator[Report | None]:
    screen = Console(stderr=True)
    if not options["progress"] or not screen.is_terminal:
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=screen, transient=True) as bars:
        bar = bars.add_task("scoring the start", total=options["budget"])

        def progress(calls: int, best: float | None) -> None:
            said = "scoring the start" if best is None else f"best so far {best:.3f}"
            bars.update(bar, completed=calls, description=said)

        yield progress


def _tell(result: Result, folder: Path) -> None:
    """Print start and best side by side, the best prompt, and where it lies."""
    table = Table(title=f"{result.task}: {result.function}, {result.optimiser}", title_justify="left")
    for column in ("", "chosen by (dev)", "tested on (test), 95%"):
        table.add_column(column, justify="right" if column else "left")
    for name, one in (("start", result.start), ("best", result.best)):
        table.add_row(name, f"{one.dev:.3f}", str(one.test))
    table.add_row("gain", f"{result.best.dev - result.start.dev:+.3f}", str(result.gain))
    console = Console()
    output.show(table, console)
    for line in _lines(result, result.best, folder):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _lines(result: Result, best: Judged, folder: Path) -> Iterator[str]:
    why = "the budget is used up" if result.ended == "budget" else "nothing new was left to try"
    yield f"{result.candidates:,} candidates, {result.calls:,} calls ({result.failed:,} failed); {why}"
    yield f"{result.tokens:,} tokens, {result.seconds:,.1f} s of calls, all together"
    yield f"best instruction: {best.instruction}"
    yield f"examples shown: {len(best.shown)}"
    yield f"the prompt, as a template of str.format: {folder / PROMPT_FILE}"
