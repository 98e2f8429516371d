"""`quickthaw config`: each setting, its value, and where that came from."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import click
from rich import box
from rich.table import Table

from quickthaw.cli import output
from quickthaw_platform import settings as settings_module
from quickthaw_platform.settings import Described

SECRET_IN_URL = "***"


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def config(as_json: bool) -> None:
    """Show each setting, its value, and where it came from."""
    rows = settings_module.describe(settings_module.load())
    if as_json:
        click.echo(json.dumps([_row(row) for row in rows], indent=2))
    else:
        output.show(_table(rows))


def _row(row: Described) -> dict[str, Any]:
    return {"name": row.name, "value": _shown(row.value), "source": row.source, "description": row.description}


def _table(rows: Iterable[Described]) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for title in ("setting", "value", "source"):
        table.add_column(title, overflow="fold")
    for row in rows:
        value = _shown(row.value)
        table.add_row(row.name, "-" if value is None else str(value), row.source)
    return table


def _shown(value: Any) -> Any:
    """Make a value JSON can carry; a password inside a URL is not shown."""
    if isinstance(value, bool | int | float | dict) or value is None:
        return value
    parts = urlsplit(str(value))
    if parts.password is None:
        return str(value)
    return urlunsplit(parts._replace(netloc=parts.netloc.replace(f":{parts.password}@", f":{SECRET_IN_URL}@")))
