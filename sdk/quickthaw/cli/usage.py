"""`quickthaw usage`: what was used, as a table, JSON, CSV, or a priced FOCUS file."""

from __future__ import annotations

import csv
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import click

from quickthaw.cli import output
from quickthaw.cli.ranges import FiniteRange
from quickthaw.cli.root import State, pass_state
from quickthaw.resources import FocusRow, UsageRow

NAMES = ("function", "version", "backend", "node", "device", "key", "phase")
NOTHING = "Nothing was used in that time."
_COUNTS = ("seconds", "memory_byte_seconds", "requests", "tokens_in", "tokens_out", "tokens_cached", "tokens_saved")
_COLUMNS = ("DEVICE S", "MEMORY GB S", "REQUESTS", "ORIGINAL", "TOKENS IN", "OUT", "CACHED", "FETCHED")
_GB = 1e9


@click.command()
@click.option(
    "--since",
    default="24h",
    show_default=True,
    metavar="WHEN",
    help="Unix seconds, ISO 8601 (UTC unless it says), or how long ago.",
)
@click.option("--until", metavar="WHEN", help="Likewise (default: now).")
@click.option(
    "--by",
    "by",
    multiple=True,
    metavar="NAME",
    help=f"{', '.join(NAMES)}; repeatable, or with commas between (default: function,phase).",
)
@click.option("--function", metavar="NAME", help="Of this function alone.")
@output.json_option
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
@click.option("--focus", is_flag=True, help="Print a FOCUS 1.3 cost and usage file; it needs one of the next two.")
@click.option("--price", metavar="OFFER", help="With --focus: what this offer asks (`quickthaw prices ls`).")
@click.option(
    "--hourly-usd",
    type=FiniteRange(min=0),
    metavar="USD",
    help="With --focus: an hour of an instance on your own machine.",
)
@click.option(
    "--vcpus",
    type=FiniteRange(min=0, min_open=True),
    metavar="N",
    help="With --price: of an instance (default: 1).",
)
@pass_state
def usage(
    state: State,
    since: str,
    until: str | None,
    by: tuple[str, ...],
    function: str | None,
    as_json: bool,
    as_csv: bool,
    focus: bool,
    price: str | None,
    hourly_usd: float | None,
    vcpus: float | None,
) -> None:
    """Show what was used: device time, memory, requests, tokens, bytes of weights fetched.

    Device time is counted for each second of an instance's life, from the order to start it to the end of its process.
    By phase, what has none (requests, tokens, bytes) stands in a row without a phase. ORIGINAL is what TOKENS IN would
    be, had compression left nothing out of prompts.
    """
    _check(as_json + as_csv + focus, focus, by, price, hourly_usd, vcpus)
    if focus:
        priced = state.client.focus(
            since=since, until=until, function=function, price=price, hourly_usd=hourly_usd, vcpus=vcpus
        )
        print_csv(priced)
        return
    names = tuple(name.strip() for word in by for name in word.split(",") if name.strip()) or ("function", "phase")
    rows = state.client.usage(since=since, until=until, by=names, function=function)
    if as_json:
        output.print_json(rows)
    elif as_csv:
        print_csv([_flat(row, names) for row in rows])
    else:
        _print_table(rows, names)


def _check(
    shapes: int, focus: bool, by: Sequence[str], price: str | None, hourly_usd: float | None, vcpus: float | None
) -> None:
    if shapes > 1:
        raise click.UsageError("of --json, --csv and --focus only one can be had at a time")
    if focus and by:
        raise click.UsageError("--by does not go with --focus: its rows are told apart by all there is")
    if focus and (price is None) == (hourly_usd is None):
        raise click.UsageError("--focus needs either --price OFFER or --hourly-usd USD (0: no costs)")
    if not focus and (price is not None or hourly_usd is not None):
        raise click.UsageError("--price and --hourly-usd go with --focus")
    if vcpus is not None and price is None:
        raise click.UsageError("--vcpus goes with --price")


def _print_table(rows: Sequence[UsageRow], names: Sequence[str]) -> None:
    cells = [(*(getattr(row, name) for name in names), *_counts([row])) for row in rows]
    if names and len(rows) > 1:
        cells.append(("total", *("" for _ in names[1:]), *_counts(rows)))
    output.table([*(name.upper() for name in names), *_COLUMNS], cells, NOTHING)


def _counts(rows: Sequence[UsageRow]) -> tuple[object, ...]:
    sums = {name: sum(getattr(row, name) for row in rows) for name in _COUNTS}
    fetched: Counter[str] = Counter()
    for row in rows:
        fetched.update(row.fetched_bytes)
    return (
        f"{sums['seconds']:,.3f}" if sums["seconds"] else None,
        f"{sums['memory_byte_seconds'] / _GB:,.3f}" if sums["memory_byte_seconds"] else None,
        *(
            f"{count:,}" if count else None
            for count in (
                sums["requests"],
                sums["tokens_in"] + sums["tokens_saved"] if sums["tokens_saved"] else 0,
                *(sums[name] for name in ("tokens_in", "tokens_out", "tokens_cached")),
            )
        ),
        ", ".join(f"{tier} {output.size(size)}" for tier, size in sorted(fetched.items())),
    )


def _flat(row: UsageRow, names: Sequence[str]) -> dict[str, object]:
    named = {name: getattr(row, name) for name in (*names, *_COUNTS)}
    return named | {f"fetched_bytes_{tier}": row.fetched_bytes.get(tier, 0) for tier in ("disk", "remote")}


def print_csv(rows: Iterable[Mapping[str, object]] | Iterable[FocusRow]) -> None:
    """Print rows of one shape."""
    found = list(rows)
    if not found:
        click.echo(NOTHING, err=True)
        return
    writer = csv.DictWriter(sys.stdout, list(found[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(found)
