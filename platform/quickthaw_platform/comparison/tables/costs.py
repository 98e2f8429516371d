"""What the traffic costs on each backend by each offer, and what the price lists are worth."""

from __future__ import annotations

from collections.abc import Sequence

from quickthaw_platform.comparison.numbers import NONE
from quickthaw_platform.comparison.report import Cost, PriceList, Report
from quickthaw_platform.comparison.tables.cells import Cell, Column, Group, Line, Table
from quickthaw_platform.comparison.tables.headline import amount

_COLUMNS = (
    Column("per 1,000 requests"),
    Column("per million tokens"),
    Column("a month"),
    Column("Billed", text=True),
    Column("Within the objective like the best", text=True),
    Column("Price of", text=True),
)
_KINDS = {"measured": "on the measured device-seconds", "simulated": "simulated", "tokens": "bought as tokens"}


def costs(report: Report) -> Table:
    """Return the table of all offers; what an API would charge for the same tokens stands at its end."""
    groups = [Group(_lines(row.costs), row.backend) for row in report.rows if row.costs]
    if report.token_costs:
        groups.append(Group(_lines(report.token_costs), "per-token API"))
    offers = [*(cost for row in report.rows for cost in row.costs), *report.token_costs]
    return Table(
        name="costs",
        caption="The same traffic by every offer of the price lists, the cheapest first. A month's bill has free tiers"
        " and least charges in it; the other two are what one request more would cost.",
        corner="Offer",
        columns=_COLUMNS,
        groups=tuple(groups),
        notes=_notes(offers),
    )


def _lines(found: Sequence[Cost]) -> tuple[Line, ...]:
    return tuple(_line(cost) for cost in sorted(found, key=_order))


def _order(cost: Cost) -> tuple[bool, float, str]:
    value = cost.per_thousand_requests.value
    return value is None, value or 0.0, cost.offer


def _line(cost: Cost) -> Line:
    return Line(
        cost.title + (" †" if cost.second_hand else ""),
        (
            amount(cost.per_thousand_requests, cost.currency),
            amount(cost.per_million_tokens, cost.currency),
            amount(cost.per_month, cost.currency),
            Cell("all the time" if cost.always_on else "by use", _KINDS[cost.kind]),
            Cell({True: "yes", False: "no", None: NONE}[cost.meets_slo]),
            Cell(cost.date or NONE),
        ),
    )


def _notes(offers: Sequence[Cost]) -> tuple[str, ...]:
    assumed: dict[str, list[str]] = {}
    for cost in offers:
        for note in cost.notes:
            assumed.setdefault(note, []).append(cost.title)
    notes = [f"{note[:1].upper()}{note[1:]}: {', '.join(dict.fromkeys(titles))}." for note, titles in assumed.items()]
    second_hand = ["† A figure of this price was not read at its source."] if any(c.second_hand for c in offers) else []
    return (*second_hand, *notes)


def price_lists(report: Report) -> Table:
    """Return the table of price files: how old they are, and whether they were read at the source."""
    return Table(
        name="price-lists",
        caption="Price files that this report used. The date is that of the oldest figure used.",
        corner="File",
        columns=(Column("Date", text=True), Column("Days old at the run"), Column("Read", text=True)),
        groups=(Group(tuple(_file(prices) for prices in report.header.prices)),),
    )


def _file(prices: PriceList) -> Line:
    age = NONE if prices.age_days is None else f"{prices.age_days:,}"
    read = "partly second-hand" if prices.second_hand else "at the source"
    return Line(prices.name + (" †" if prices.second_hand else ""), (Cell(prices.date), Cell(age), Cell(read)))
