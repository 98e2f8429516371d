"""`quickthaw prices`: what can be bought to serve a model, what it costs, and where that was read."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.table import Table

from quickthaw.cli import output
from quickthaw_platform import settings as settings_module
from quickthaw_platform.prices.bill import Bill
from quickthaw_platform.prices.catalogue import check_files, load
from quickthaw_platform.prices.listing import Row, bill_row, fact_rows, offer_row, plain, token_row, where
from quickthaw_platform.prices.offer import KINDS, Offer, multiplied
from quickthaw_platform.prices.reading import PricesInvalid
from quickthaw_platform.prices.tokens import buy_tokens


@click.group("prices")
def prices() -> None:
    """Show what serving costs elsewhere: offers of clouds, servers and per-token APIs, each with source and date."""


@prices.command("ls")
@click.option("--kind", type=click.Choice(list(KINDS)), help="Only offers of this kind.")
@click.option("--like", metavar="MODEL", help="Tokens of this public model too, such as llama-3.1-8b.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def ls(kind: str | None, like: str | None, as_json: bool) -> None:
    """List the offers with their unit prices, the date of the oldest of these, and how far they can be trusted."""
    today, own = dt.date.today(), _own_dir()
    rows = [offer_row(offer, today) for offer in load(own).offers() if kind in (None, offer.kind)]
    if like is not None:
        rows += [token_row(offer, today) for offer in buy_tokens(like, 0, 0, today=today, user_dir=own)]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    output.show(_offers_table(rows))
    old = sum(row["stale"] for row in rows)
    click.echo(f"{len(rows)} offers; {old} marked * have no date or one older than 180 days", err=True)


@prices.command("show")
@click.argument("id")
@click.option("--multiplier", "multipliers", multiple=True, metavar="NAME", help="Apply this one; repeatable.")
@click.option(
    "--consumption",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Bill the use in this JSON file instead of an example.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(id: str, multipliers: Sequence[str], consumption: Path | None, as_json: bool) -> None:
    """Show all that is known of the offer ID, where each fact was read, and a bill, of a period and of a month."""
    catalogue = load(_own_dir())
    offer = multiplied(catalogue.get(id), *multipliers)
    about, bills = _bills(offer, consumption)
    found = {
        **offer_row(offer, dt.date.today()),
        "name": offer.name,
        "region": offer.region,
        "file": where(catalogue, id),
        "notes": list(offer.notes),
        "facts": fact_rows(offer),
        "billed": about,
        "bills": {name: bill_row(bill) for name, bill in bills.items()},
    }
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        _print_offer(found, bills)


@prices.command("check")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path), metavar="[PATH]...")
@click.option("--json", "as_json", is_flag=True, help="Print the problems as JSON.")
def check(paths: Sequence[Path], as_json: bool) -> None:
    """Check price files, or the *.toml of directories; by default those of the setting prices_dir.

    Each fault is named with its file and line; the exit status is then 1.
    """
    own = _own_dir()
    files = [file for path in paths or ([own] if own.is_dir() else []) for file in _files(path)]
    count, problems = 0, []
    try:
        count = check_files(files)
    except PricesInvalid as error:
        problems = [{"file": p.file, "line": p.line, "message": p.message} for p in error.problems]
    if as_json:
        click.echo(json.dumps({"files": [str(file) for file in files], "offers": count, "problems": problems}))
    elif problems:
        click.echo("\n".join(f"{p['file']}:{p['line']}: {p['message']}" for p in problems))
    elif files:
        click.echo(f"{len(files)} files, {count} offers: all well")
    else:
        click.echo(f"there is no *.toml in {', '.join(map(str, paths or [own]))}")
    if problems:
        click.get_current_context().exit(1)


def _own_dir() -> Path:
    return settings_module.load().own_prices_dir


def _files(path: Path) -> list[Path]:
    return sorted(path.glob("*.toml")) if path.is_dir() else [path]


def _bills(offer: Offer, consumption: Path | None) -> tuple[str, dict[str, Bill]]:
    """Return what is billed, in words, and its bills; none where a price is not known."""
    from quickthaw_platform.prices.billing import bill, monthly  # numpy
    from quickthaw_platform.prices.consumption import read_consumption
    from quickthaw_platform.prices.examples import EXAMPLE, example

    use, about = example(offer), EXAMPLE
    if consumption is not None:
        use, about = read_consumption(consumption)
        about = about or str(consumption)
    if not offer.billable:
        return about, {}
    of_period = bill(offer, use)
    return about, {f"{use.period_seconds:g} s": of_period, "month": monthly(of_period, use.period_seconds)}


def _offers_table(rows: Sequence[Row]) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for title in ("offer", "kind", "GPU", "unit prices", "date", "days", "mark"):
        table.add_column(title, overflow="fold", justify="right" if title == "days" else "left")
    for row in rows:
        unit_prices = "\n".join(f"{name.removeprefix('prices.')} {text}" for name, text in row["prices"].items())
        age = "" if row["age_days"] is None else str(row["age_days"])
        stale = "*" if row["stale"] else ""
        shown = (row["id"], row["kind"], row["gpu"] or "-", unit_prices, row["date"] or "undated")
        table.add_row(*shown, age + stale, row["mark"])
    return table


def _print_offer(found: dict[str, Any], bills: dict[str, Bill]) -> None:
    console = Console()
    console.print(
        f"{found['name']} ({found['id']}), {found['kind']}, from {found['file']}", highlight=False, soft_wrap=True
    )
    for note in found["notes"]:
        console.print(f"  note: {note}", highlight=False, soft_wrap=True)
    table = Table(box=box.SIMPLE_HEAD)
    for title in ("fact", "value", "date", "mark", "source"):
        table.add_column(title, overflow="fold")
    for row in found["facts"]:
        source = f"{row['source']} ({row['note']})" if row["note"] else row["source"]
        table.add_row(row["fact"], row["value"], row["date"], row["mark"], source)
    output.show(table)
    if not bills:
        console.print("no bill: a price is not known", highlight=False, soft_wrap=True)
        return
    console.print(f"billed: {found['billed']}", highlight=False, soft_wrap=True)
    for name, bill in bills.items():
        output.show(_bill_table(name, bill))
    for note in list(bills.values())[-1].notes:
        console.print(f"  note: {note}", highlight=False, soft_wrap=True)


def _bill_table(name: str, bill: Bill) -> Table:
    usd = "" if bill.currency == "USD" or bill.usd is None else f" ({bill.usd:,.4f} USD)"
    table = Table(box=box.SIMPLE_HEAD, title=f"{name}: {bill.total:,.4f} {bill.currency}{usd}", title_justify="left")
    for title in ("", "quantity", "price of one", "amount"):
        table.add_column(title, justify="left" if not title else "right")
    for line in bill.lines:
        each = f"{plain(line.price)} {bill.currency}"
        table.add_row(line.label, f"{line.quantity:,.2f} {line.unit}", each, f"{line.amount:,.4f}")
    return table
