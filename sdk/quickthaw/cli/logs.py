"""`quickthaw logs`."""

from __future__ import annotations

import time

import click

from quickthaw.cli import output
from quickthaw.cli.root import State, pass_state
from quickthaw.resources import LogLine


@click.command()
@click.argument("name")
@click.option("-f", "--follow", is_flag=True, help="Go on printing lines as they come.")
@click.option("-n", "--lines", type=click.IntRange(1, 10_000), default=1000, show_default=True, help="Most lines.")
@output.json_option
@pass_state
def logs(state: State, name: str, follow: bool, lines: int, as_json: bool) -> None:
    """Show what a function printed and what the platform did with it. --json prints one line an object."""
    after = None
    for line in state.client.logs(name, limit=lines):
        _print(line, as_json)
        after = line.id
    if follow:
        for line in state.client.follow_logs(name, after):
            _print(line, as_json)


def _print(line: LogLine, as_json: bool) -> None:
    if as_json:
        click.echo(line.model_dump_json())
        return
    at = time.strftime("%H:%M:%S", time.localtime(line.t))
    who = line.invocation or line.instance or line.node or "-"
    click.echo(f"{at} {line.stream:<8} {who:.12}  {line.line}")
