"""`quickthaw load`: send traffic to a function, or to any OpenAI-compatible endpoint, and record each request."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Unpack

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from quickthaw.cli.ranges import SEED
from quickthaw.cli.root import State, pass_state
from quickthaw_platform.commands.traffic_options import (
    DURATION,
    POSITIVE,
    TrafficChoices,
    chosen_sizes,
    chosen_traffic,
    traffic_options,
)
from quickthaw_platform.errors import InvalidRequest
from quickthaw_platform.traffic import generator, report
from quickthaw_platform.traffic.generator import LoadOutcome
from quickthaw_platform.traffic.planning import TIMEOUT_SECONDS, LoadPlan, make_plan
from quickthaw_platform.traffic.probing import calibrate
from quickthaw_platform.traffic.prompts import Prompts, read_corpus
from quickthaw_platform.traffic.slo import Slo
from quickthaw_platform.traffic.summary import Summary
from quickthaw_platform.traffic.target import CHAT_PATH, IGNORE_EOS, Target
from quickthaw_platform.traffic.words import random_text


class _Choices(TrafficChoices):
    endpoint: str | None
    model: str | None
    path: str
    endpoint_key: str | None
    ignore_eos: bool | None
    minutes: float | None
    duration: float | None
    seed: int
    probe: bool
    slo_ttft: float
    slo_tpot: float | None
    timeout: float
    out: Path | None
    progress: bool
    as_json: bool


@click.command("load")
@click.argument("function", required=False)
@click.option("--endpoint", metavar="URL", help="Another OpenAI-compatible server in place of FUNCTION.")
@click.option("--model", help="The model to ask for there.")
@click.option("--path", default=CHAT_PATH, show_default=True, help="What is asked there; other paths take prompts.")
@click.option("--endpoint-key", envvar="QUICKTHAW_ENDPOINT_KEY", help="The API key to send there.")
@click.option(
    "--ignore-eos/--no-ignore-eos",
    default=None,
    help="Ask for answers of just so many tokens; by default of a FUNCTION, and not of an endpoint.",
)
@traffic_options
@click.option("--minutes", type=POSITIVE, help="For how long requests come (1).")
@click.option("--duration", type=DURATION, help="The same in seconds, or as 90s, 5m.")
@click.option("--seed", type=SEED, default=0, show_default=True, help="Of arrivals, tokens and prompts.")
@click.option("--probe/--no-probe", default=True, help="First see by two requests how the endpoint counts tokens.")
@click.option("--slo-ttft", type=DURATION, default="2s", show_default=True, help="Limit for the first token.")
@click.option("--slo-tpot", type=DURATION, help="Limit for the mean time of each further token.")
@click.option(
    "--timeout",
    type=DURATION,
    default=TIMEOUT_SECONDS,
    show_default=True,
    help="A request that is not complete so long after it was to be sent is a miss.",
)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write a row a request: .parquet or .csv.")
@click.option("--progress/--no-progress", default=True, help="Show how far it is.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
@pass_state
def load(state: State, function: str | None, **options: Unpack[_Choices]) -> None:
    """Send traffic to FUNCTION (or FUNCTION:ALIAS) on time, whatever it answers, and show what its callers saw.

    Latencies count from when a request was to be sent. Ctrl-C ends the run and keeps what was measured. See
    docs/load.md.
    """
    target = _target(state, function, options)
    if options["out"] is not None:
        from quickthaw_platform.traffic import tables  # pyarrow takes a while to import

        tables.check_writable(options["out"])
    plan = _plan(options)
    if not len(plan):
        raise InvalidRequest(
            f"no request comes in these {plan.seconds:g} s of {plan.label}; choose a longer time, a higher rate or "
            "another offset"
        )
    screen = Console(stderr=True)
    if not options["as_json"]:
        screen.print(report.arrivals_line(plan), markup=False, highlight=False)
    plan, outcome = asyncio.run(_measured(plan, target, options["probe"], screen if options["progress"] else None))
    _tell(Summary.of(plan, outcome), options)


def _target(state: State, function: str | None, options: _Choices) -> Target:
    if (function is None) == (options["endpoint"] is None):
        raise click.UsageError("name either a FUNCTION or an --endpoint")
    wanted = options["ignore_eos"]
    if function is not None:
        found = Target.quickthaw(state.client.endpoint, function)
        return found if wanted is not False else replace(found, extra={})
    if options["model"] is None:
        raise click.UsageError("--endpoint needs a --model")
    extra = IGNORE_EOS if wanted else {}
    return Target(str(options["endpoint"]), options["model"], options["path"], options["endpoint_key"], extra=extra)


def _plan(options: _Choices) -> LoadPlan:
    if options["minutes"] is not None and options["duration"] is not None:
        raise click.UsageError("give either --minutes or --duration")
    seconds = options["duration"] or 60 * (options["minutes"] or 1.0)
    corpus = random_text() if options["corpus"] is None else read_corpus(options["corpus"])
    return make_plan(
        chosen_traffic(options), seconds, options["seed"],
        prompts=Prompts(corpus, options["seed"], options["shared_prefix"]),
        slo=Slo(options["slo_ttft"], options["slo_tpot"]), timeout=options["timeout"], sizes=chosen_sizes(options),
    )  # fmt: skip


async def _measured(
    plan: LoadPlan, target: Target, probe: bool, screen: Console | None
) -> tuple[LoadPlan, LoadOutcome]:
    if probe:
        found = await calibrate(target, plan.prompts)
        plan = replace(plan, prompts=replace(plan.prompts, calibration=found))
    stop = asyncio.Event()
    with _interrupting(stop), _shown(len(plan), screen) as shown:
        return plan, await generator.run(plan, target, on_progress=shown, stop=stop)


@contextlib.contextmanager
def _interrupting(stop: asyncio.Event) -> Iterator[None]:
    """Let the first Ctrl-C set `stop`; a second one ends the program."""
    loop = asyncio.get_running_loop()

    def interrupted() -> None:
        stop.set()
        loop.remove_signal_handler(signal.SIGINT)

    loop.add_signal_handler(signal.SIGINT, interrupted)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)


@contextlib.contextmanager
def _shown(planned: int, screen: Console | None) -> Iterator[Callable[[generator.Progress], None] | None]:
    if screen is None or not screen.is_terminal:
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=screen, transient=True) as bars:
        task = bars.add_task("sending", total=planned)

        def show(now: generator.Progress) -> None:
            said = f"{now.sent}/{now.planned} sent, {now.running} in flight, {now.done} done, {now.failed} failed"
            bars.update(task, completed=now.done, description=f"{said}, lag {now.lag * 1e3:.1f} ms at most")

        yield show


def _tell(summary: Summary, options: _Choices) -> None:
    outcome, out = summary.outcome, options["out"]
    found = summary.to_json()
    if options["as_json"]:
        click.echo(json.dumps(found, indent=2))
    else:
        report.show(summary, Console())
    if out is not None:
        from quickthaw_platform.traffic import tables

        tables.write(outcome.results, out, {"quickthaw.load": json.dumps(found)})
        click.echo(f"wrote {out}", err=True)
    if outcome.interrupted:
        raise click.ClickException("interrupted: the figures are of what was measured until then")
    if outcome.invalid:
        raise click.ClickException(f"invalid: {outcome.invalid}")
