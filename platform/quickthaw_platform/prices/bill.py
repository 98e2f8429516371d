"""A bill: what was counted, at which price, so that a reader can check the sum."""

from __future__ import annotations

from dataclasses import dataclass, replace

from quickthaw_platform.prices.units import MONTH_SECONDS, Meter


@dataclass(frozen=True, slots=True)
class Line:
    """One row: `quantity` in the meter's unit times `price` (per one of it, multipliers included) is `amount`.

    `kept` is true of what stands all the time, and is paid for however many requests come.
    """

    label: str
    meter: Meter
    quantity: float
    price: float
    kept: bool = False

    @property
    def unit(self) -> str:
        """What is counted."""
        return self.meter.value

    @property
    def amount(self) -> float:
        """The money."""
        return self.quantity * self.price


@dataclass(frozen=True)
class Bill:
    """What one offer asks for one period. `usd` is None where no rate of the currency is known.

    `free` is what each month is free of, by meter, and `credit` what is taken off each month's sum: only `monthly`
    applies them.
    """

    offer: str
    currency: str
    lines: tuple[Line, ...]
    notes: tuple[str, ...] = ()
    rate: float | None = 1.0
    free: tuple[tuple[Meter, float], ...] = ()
    credit: float = 0.0

    @property
    def total(self) -> float:
        """The sum in the offer's currency."""
        return sum(line.amount for line in self.lines)

    @property
    def usd(self) -> float | None:
        """The sum in US dollars."""
        return None if self.rate is None else self.total * self.rate


def monthly(bill: Bill, period_seconds: float, use: float = 1.0, requests: float = 1.0) -> Bill:
    """Scale a period's bill to a month of 730 hours, and take off what is free each month.

    The month is taken to be like the period, over and over, with so many times its use of instances and its requests:
    what is kept stays the same.
    """
    scale = MONTH_SECONDS / period_seconds
    left = dict(bill.free)
    lines, notes = [], list(bill.notes)
    for line in bill.lines:
        quantity = line.quantity * scale * (1.0 if line.kept else requests if line.meter is Meter.REQUEST else use)
        spared = min(quantity, left.get(line.meter, 0.0))
        if spared:
            left[line.meter] -= spared
            notes.append(f"free each month: {spared:,.0f} {line.unit} of {line.label}")
        lines.append(replace(line, quantity=quantity - spared))
    credit = min(bill.credit, sum(line.amount for line in lines))
    if credit:
        lines.append(Line("credit each month", Meter.FEE, 1, -credit))
    return replace(bill, lines=tuple(lines), notes=tuple(notes), free=(), credit=0.0)
