"""The main table: every backend at the same objective."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from quickthaw_platform.comparison.estimates import Estimate, Measure, Which
from quickthaw_platform.comparison.numbers import NONE, duration, money, size
from quickthaw_platform.comparison.report import Cost, Percentiles, Report, Row
from quickthaw_platform.comparison.tables.cells import (
    Cell,
    Column,
    Group,
    Line,
    Table,
    cell,
    figures,
    parts,
    scale,
    texts,
)

MEASURES: dict[Measure, str] = {
    "ttft": "Time to the first token (TTFT)",
    "tpot": "Time per token of a request (TPOT)",
    "itl": "Gap between two tokens (ITL)",
    "e2e": "Time to the whole answer",
}
_QUANTILES: dict[str, Callable[[Percentiles], Estimate]] = {
    "mean": lambda found: found.mean,
    "p50": lambda found: found.p50,
    "p90": lambda found: found.p90,
    "p95": lambda found: found.p95,
    "p99": lambda found: found.p99,
}
_COLD_AND_WARM: tuple[Which, ...] = ("cold", "warm")


def headline(report: Report) -> Table:
    """Return the table."""
    rows, slo = report.rows, report.header.slo
    part = round(report.header.confidence * 100)
    return Table(
        name="headline",
        caption=(
            f"All backends on the same arrivals, at the same objective: first token within {duration(slo.ttft)}, at"
            f" most {duration(slo.tpot)} a token on average. In brackets: {part} % intervals."
        ),
        corner="Measure",
        columns=columns(rows),
        groups=(Group((*_service(rows),), "Service"), *_latencies(rows), Group((*_price(report),), "Cost")),
        notes=(
            f"{NONE}: not known, or does not apply.",
            "“too few”: so few requests carry no interval at this quantile.",
        ),
    )


def columns(rows: Sequence[Row]) -> tuple[Column, ...]:
    """Return a column for each backend, which says what is simulated."""
    return tuple(Column(row.backend, _detail(row), simulated=row.simulated) for row in rows)


def _detail(row: Row) -> str:
    always_on = f"{row.always_on} always on" if row.always_on else ""
    kind = row.kind if row.kind != row.backend else ""
    return ", ".join(part for part in ("simulated" if row.simulated else "", kind, always_on) if part)


def _service(rows: Sequence[Row]) -> Iterator[Line]:
    yield parts("Within the objective", [row.attainment for row in rows])
    yield figures("Goodput: within the objective, requests/s", [row.goodput for row in rows])
    yield figures("Throughput: answered, requests/s", [row.throughput for row in rows])
    yield Line("Requests sent", tuple(Cell(f"{row.requests:,}", f"{row.answered:,} answered") for row in rows))
    yield texts("Failures", [_failures(row) for row in rows])
    yield parts("Waited for a start", [row.cold_share for row in rows])
    yield texts("Kept up with the traffic", [_steady(row) for row in rows])
    if any(row.cold_start_seconds is not None for row in rows):
        yield texts("Start of the endpoint", [_or_dash(row.cold_start_seconds, duration) for row in rows])
    if any(row.resident_bytes is not None for row in rows):
        yield texts("Resident memory, at most", [_or_dash(row.resident_bytes, size) for row in rows])


def _failures(row: Row) -> str:
    found = [f"{count:,} {what}" for what, count in row.failures.items() if count]
    return (
        "; ".join([*found, *([f"{'died' if row.requests else 'not measured'}: {row.error}"] if row.error else [])])
        or "none"
    )


def _steady(row: Row) -> str:
    if row.steadiness.saturated:
        return "no: saturated"
    return {True: "yes, steady", False: "not steady", None: NONE}[row.steadiness.steady]


def _or_dash(value: float | None, show: Callable[[float], str]) -> str:
    return NONE if value is None else show(value)


def _latencies(rows: Sequence[Row]) -> Iterator[Group]:
    for measure, title in MEASURES.items():
        found = {name: _pick(rows, measure, "all", of) for name, of in _QUANTILES.items()}
        if measure == "ttft":
            found |= _cold_and_warm(rows)
        factor, unit = scale(estimate for estimates in found.values() for estimate in estimates)
        lines = [Line(name, tuple(cell(estimate, factor) for estimate in found[name])) for name in found]
        yield Group(tuple(lines), f"{title}, {unit}")


def _cold_and_warm(rows: Sequence[Row]) -> dict[str, list[Estimate | None]]:
    """Return the time to the first token of cold and of warm requests, where a backend had cold ones."""
    found = {
        f"{which} only, {name}": _pick(rows, "ttft", which, _QUANTILES[name])
        for which in _COLD_AND_WARM
        for name in ("p50", "p90", "p99")
    }
    return {name: estimates for name, estimates in found.items() if any(e is not None for e in estimates)}


def _pick(
    rows: Sequence[Row], measure: Measure, which: Which, of: Callable[[Percentiles], Estimate]
) -> list[Estimate | None]:
    return [
        next((of(found) for found in row.latencies if (found.measure, found.which) == (measure, which)), None)
        for row in rows
    ]


def _price(report: Report) -> Iterator[Line]:
    rows = report.rows
    yield figures("Device-seconds a request", [row.usage.seconds if row.usage else None for row in rows])
    cheapest = [least(row.costs) for row in rows]
    if any(cheapest):
        yield texts("Cheapest offer", [cost.title if cost else NONE for cost in cheapest])
        yield _amounts("per 1,000 requests", cheapest, lambda cost: cost.per_thousand_requests)
        yield _amounts("per million tokens", cheapest, lambda cost: cost.per_million_tokens)
        yield _amounts("a month of this traffic", cheapest, lambda cost: cost.per_month)


def least(costs: Sequence[Cost]) -> Cost | None:
    """Return the cheapest offer among those in the currency that most of them have; None where none has a price."""
    priced = [
        (cost.per_thousand_requests.value, cost) for cost in costs if cost.per_thousand_requests.value is not None
    ]
    currencies = [cost.currency for _, cost in priced]
    if not currencies:
        return None
    usual = max(dict.fromkeys(currencies), key=currencies.count)
    return min((pair for pair in priced if pair[1].currency == usual), key=lambda pair: pair[0])[1]


def _amounts(head: str, costs: Sequence[Cost | None], of: Callable[[Cost], Estimate]) -> Line:
    return Line(head, tuple(amount(of(cost), cost.currency) if cost else Cell(NONE) for cost in costs))


def amount(estimate: Estimate, currency: str) -> Cell:
    """Return an amount of money with its interval."""
    return cell(estimate, show=lambda value: money(value, currency))
