"""What compression of prompts has saved, in tokens and in money."""

from __future__ import annotations

from collections.abc import Sequence

from quickthaw_platform.comparison.numbers import NONE, percent
from quickthaw_platform.comparison.report import Report, Saving
from quickthaw_platform.comparison.tables.cells import Cell, Column, Group, Line, Table
from quickthaw_platform.comparison.tables.headline import amount

_COLUMNS = (
    Column("Original tokens"),
    Column("Sent"),
    Column("Saved per 1,000 requests"),
    Column("Price of", text=True),
)


def savings(report: Report) -> Table:
    """Return the table; it is empty where no prompt was compressed."""
    backends = dict.fromkeys(saving.backend for saving in report.savings)
    of_each = {name: [saving for saving in report.savings if saving.backend == name] for name in backends}
    return Table(
        name="savings",
        caption="Tokens that compression left out of prompts, at the prices of per-token APIs for tokens that are not"
        " cached. On instances of one's own they save time, which is in the device-seconds already.",
        corner="Offer",
        columns=_COLUMNS,
        groups=tuple(Group(_lines(found), name) for name, found in of_each.items()),
        notes=_notes(report.savings),
    )


def _lines(found: Sequence[Saving]) -> tuple[Line, ...]:
    return tuple(_line(saving) for saving in sorted(found, key=lambda saving: (saving.run_usd, saving.offer)))


def _line(saving: Saving) -> Line:
    original = saving.tokens_in + saving.tokens_saved
    return Line(
        saving.title + (" †" if saving.second_hand else ""),
        (
            Cell(f"{original:,}"),
            Cell(f"{saving.tokens_in:,}", percent(saving.tokens_in / original)),
            amount(saving.per_thousand_requests, "USD"),
            Cell(saving.date or NONE),
        ),
    )


def _notes(found: Sequence[Saving]) -> tuple[str, ...]:
    is_any = any(saving.second_hand for saving in found)
    return ("† A figure of this price was not read at its source.",) if is_any else ()
