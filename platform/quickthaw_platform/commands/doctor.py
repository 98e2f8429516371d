"""`quickthaw doctor`: what is wrong with this machine and the platform on it, and what to do."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict

import click
from rich import box
from rich.table import Table

from quickthaw.cli import output
from quickthaw_platform import settings as settings_module
from quickthaw_platform.doctor.checks import Finding, Level, findings, worst
from quickthaw_platform.errors import SettingsInvalid

_STYLES = {Level.OK: "green", Level.NOTE: "cyan", Level.WARNING: "yellow", Level.PROBLEM: "bold red"}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def doctor(as_json: bool) -> None:
    """Check this machine and the platform on it, and say for each finding what to do.

    It changes nothing. The exit status is 1 where something does not work, else 0.
    """
    found = _examined(dict(os.environ))
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in found], indent=2))
    else:
        output.show(table(found))
    if worst(found) is Level.PROBLEM:
        sys.exit(1)


def _examined(environment: dict[str, str]) -> list[Finding]:
    try:
        settings = settings_module.load()
    except SettingsInvalid as error:
        return [Finding("settings", Level.PROBLEM, error.message, "`quickthaw config` shows where each comes from")]
    from quickthaw_platform.doctor.gathering import gather  # imports much that --help does not need

    return findings(gather(settings, environment))


def table(found: list[Finding]) -> Table:
    """Return the findings as a table."""
    made = Table(box=box.SIMPLE_HEAD)
    for title in ("subject", "", "found", "what to do"):
        made.add_column(title, overflow="fold")
    for finding in found:
        level = f"[{_STYLES[finding.level]}]{finding.level.value}[/]"
        made.add_row(finding.subject, level, finding.found.replace("[", r"\["), finding.advice.replace("[", r"\["))
    return made
