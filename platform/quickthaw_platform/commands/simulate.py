"""`quickthaw simulate`: a cluster that does not exist, under the policies that would run it."""

from __future__ import annotations

import itertools
import json
import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import click
import structlog
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from quickthaw.cli.output import show
from quickthaw.cli.ranges import SEED
from quickthaw_platform.simulator.engine import simulate as run
from quickthaw_platform.simulator.outcome import Outcome
from quickthaw_platform.simulator.report import table
from quickthaw_platform.simulator.scenario import Scenario, read_scenario


@click.command("simulate")
@click.argument("scenario", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--policy", "policies", multiple=True, help="Allocation policy; repeatable. Default: the scenario's.")
@click.option("--keep-alive", "keep_alives", multiple=True, help="Keep-alive policy; repeatable, as above.")
@click.option("--seed", type=SEED, help="Draw other calls than the scenario's seed does.")
@click.option("--output", type=click.Path(path_type=Path, file_okay=False), help="Write summary and plots there.")
@click.option("--json", "as_json", is_flag=True, help="Print the summaries as JSON.")
def simulate(
    scenario: Path, policies: Sequence[str], keep_alives: Sequence[str], seed: int | None, output: Path | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Simulate the cluster that the TOML file SCENARIO describes, under each pair of policies, with the same calls.

    The code that decides is the platform's own. See docs/simulator.md.
    """
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    given = read_scenario(scenario)
    pairs = list(itertools.product(policies or given.policies, keep_alives or given.keep_alives))
    outcomes = _run(given, pairs, seed)
    summaries = [outcome.summary(given.slo_ttft) for outcome in outcomes]
    text = json.dumps(summaries, indent=2)
    if output is not None:
        _write(outcomes, text, output)
    if as_json:
        click.echo(text)
    else:
        show(table(summaries))


def _run(scenario: Scenario, pairs: Sequence[tuple[str, str]], seed: int | None) -> list[Outcome]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,} calls"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        outcomes = []
        for policy, keep_alive in pairs:
            task = progress.add_task(f"{policy}, {keep_alive}", total=scenario.invocations)
            outcomes.append(run(scenario, policy, keep_alive, seed, partial(progress.advance, task)))
        return outcomes


def _write(outcomes: Sequence[Outcome], text: str, output: Path) -> None:
    from quickthaw_platform.simulator.plots import draw  # matplotlib takes a second to import

    output.mkdir(parents=True, exist_ok=True)
    (output / "summary.json").write_text(text + "\n")
    for file in (output / "summary.json", *draw(outcomes, output)):
        click.echo(f"wrote {file}", err=True)
