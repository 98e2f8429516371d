"""`quickthaw logs`."""

from __future__ import annotations

import time
from collections.abc import Callable

import click

from quickthaw.cli import output
from quickthaw.cli.root import State, pass_state
from quickthaw.cli.visible import visible
from quickthaw.resources import LogLine


@click.command()
@click.argument("name")
@click.option("-f", "--follow", is_flag=True, help="Go on printing lines as they come.")
@click.option("-n", "--lines", type=click.IntRange(1, 10_000), default=1000, show_default=True, help="Most lines.")
@click.option("--raw", is_flag=True, help="Print control characters as they are, not as escapes.")
@output.json_option
@pass_state
def logs(state: State, name: str, follow: bool, lines: int, raw: bool, as_json: bool) -> None:
    """Show what a function printed and what the platform did with it. --json prints one line an object."""
    shown = str if raw else visible
    after = None
    for line in state.client.logs(name, limit=lines):
        _print(line, as_json, shown)
        after = line.id
    if follow:
        for line in state.client.follow_logs(name, after):
            _print(line, as_json, shown)


def _print(line: LogLine, as_json: bool, shown: Callable[[str], str]) -> None:
    if as_json:
        click.echo(line.model_dump_json())
        return
    at = time.strftime("%H:%M:%S", time.localtime(line.t))
    who = line.invocation or line.instance or line.node or "-"
    click.echo(shown(f"{at} {line.stream:<8} {who:.12}  {line.line}"))
