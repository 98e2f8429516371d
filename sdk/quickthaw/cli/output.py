"""How commands print: tables for people, JSON for programs."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import click
from pydantic import BaseModel
from rich.console import Console, RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from quickthaw.cli.visible import visible

F = TypeVar("F", bound=Callable[..., Any])

UNLIMITED = 100_000
"""Columns of a table that no terminal limits."""

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def json_option(command: F) -> F:
    """Add `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


def print_json(value: Any) -> None:
    """Print records, or lists of them, as JSON."""
    click.echo(json.dumps(plain(value), indent=2, ensure_ascii=False))


def plain(value: Any) -> Any:
    """Return what JSON can carry."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], empty: str) -> None:
    """Print a table; `empty` says what to do where there is nothing to show."""
    rows = list(rows)
    if not rows:
        click.echo(empty, err=True)
        return
    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column, overflow="fold")
    for row in rows:
        made.add_row(*(Text("-" if cell is None or cell == "" else visible(str(cell))) for cell in row))
    show(made)


def fields(pairs: Iterable[tuple[str, object]]) -> None:
    """Print one record, a field a line."""
    found = [(name, "-" if value is None or value == "" else visible(str(value))) for name, value in pairs]
    _print_pairs(_console(), found, max((len(name) for name, _ in found), default=0) + 2)


def show(made: Table, console: Console | None = None) -> None:
    """Print a table whole: as one where it fits the terminal, else each of its rows as a block of lines.

    So no name and no heading is ever cut or broken. Into a file a table is as wide as it is.
    """
    console = console or _console()
    natural = Measurement.get(console, console.options.update(max_width=UNLIMITED), made).maximum
    if natural <= console.width:
        console.print(made)
    elif not console.is_terminal:
        console.width = natural
        console.print(made)
    else:
        _print_blocks(made, console)


def _print_blocks(made: Table, console: Console) -> None:
    """Print each row of a table as lines of heading and value; a column without a heading gives the block's title."""
    if made.title:
        console.print(made.title, soft_wrap=True)
    heads = [" ".join(_plain(column.header).split()) for column in made.columns]
    width = max(map(len, heads)) + 2
    rows = zip(*([_plain(cell) for cell in column.cells] for column in made.columns), strict=True)
    for number, row in enumerate(rows):
        if number:
            console.print()
        for head, value in zip(heads, row, strict=True):
            if not head:
                console.print(Text(value, style="bold"), soft_wrap=True)
            else:
                _print_pairs(console, [(head, value)], width)


def _print_pairs(console: Console, pairs: Iterable[tuple[str, str]], width: int) -> None:
    """Print names and values beside each other. What is too long the terminal breaks, so that it is copied whole."""
    for name, value in pairs:
        first, *others = value.splitlines() or [""]
        lines = [Text.assemble((f"{name:<{width}}", "bold"), first)]
        lines += [Text(" " * width + other) for other in others]
        for line in lines:
            console.print(line, soft_wrap=True)


def _plain(cell: RenderableType) -> str:
    return cell.plain if isinstance(cell, Text) else Text.from_markup(str(cell)).plain


def _console() -> Console:
    return Console(file=sys.stdout, highlight=False)


def size(count: int) -> str:
    """Write bytes as people do."""
    value = float(count)
    for unit in _UNITS:
        if value < 1024 or unit == _UNITS[-1]:
            break
        value /= 1024
    return f"{value:.0f} {unit}" if value >= 100 or unit == "B" else f"{value:.1f} {unit}"


def when(seconds: float | None) -> str | None:
    """Write Unix seconds as local time."""
    return None if seconds is None else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def weights(found: dict[str, float]) -> str:
    """Write what an alias points to: one version, or several with their shares."""
    if len(found) == 1:
        return next(iter(found))
    return ", ".join(f"{version} {share:.0%}" for version, share in found.items())
