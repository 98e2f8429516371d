"""Numbers as people read them: three significant figures, no exponents, and a unit that fits."""

from __future__ import annotations

import math

from quickthaw_platform.comparison.estimates import Estimate

NONE = "–"
_CURRENCIES = {"USD": "$", "EUR": "€", "GBP": "£"}
_BYTES = ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))


def plain(value: float, figures: int = 3) -> str:
    """Return a number with that many significant figures: 0.00123, 4.5, 12,300."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else ("∞" if value > 0 else "-∞" if value < 0 else NONE)
    places = figures - 1 - math.floor(math.log10(abs(value)))
    text = f"{round(value, places):,.{max(places, 0)}f}"
    return _stripped(text)


def _stripped(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text


def duration(seconds: float) -> str:
    """Return a time with a unit that fits: 12 ms, 1.5 s, 3.4 min, 2 h."""
    size = abs(seconds)
    if size < 1:
        return f"{plain(seconds * 1000)} ms"
    if size < 120:
        return f"{plain(seconds)} s"
    return f"{plain(seconds / 60)} min" if size < 7200 else f"{plain(seconds / 3600)} h"


def percent(part: float) -> str:
    """Return a part of one as a percentage: 97.3 %."""
    return f"{hundredths(part * 100)} %"


def hundredths(value: float) -> str:
    """Return a number of hundredths with one decimal, and with two above 99, where the second one counts.

    What is less than 100 stays so, 99.999 is written 99.99, and what is more than nothing too: <0.1.
    """
    if 0 < value < 0.05:
        return "<0.1"
    if 99 < value < 100:
        return _stripped(f"{min(value, 99.99):.2f}")
    return _stripped(f"{value:.1f}")


def size(count: float) -> str:
    """Return a number of bytes with a unit that fits."""
    for unit, name in _BYTES:
        if count >= unit:
            return f"{plain(count / unit)} {name}"
    return f"{plain(count)} B"


def money(amount: float, currency: str = "USD") -> str:
    """Return an amount of money: $1.23, $45.67, €0.00045; the code behind it where it has no sign."""
    sign = _CURRENCIES.get(currency)
    whole, _, cents = plain(amount, 4 if 10 <= abs(amount) < 100 else 3).partition(".")
    text = f"{whole}.{cents:0<2}" if cents or abs(amount) < 100 else whole
    return f"{sign}{text}" if sign else f"{text} {currency}"


def interval(estimate: Estimate) -> str:
    """Return the figure with its interval, 1.35 [1.08, 1.62], or what to say instead."""
    if estimate.value is None:
        return too_few(estimate) or NONE
    if estimate.low is None or estimate.high is None:
        return plain(estimate.value)
    return f"{plain(estimate.value)} [{plain(estimate.low)}, {plain(estimate.high)}]"


def too_few(estimate: Estimate) -> str | None:
    """Return what to say instead of the figure where there are too few values for it; None where it can be given."""
    if estimate.value is not None:
        return None
    return NONE if estimate.needed is None else f"too few (n = {estimate.count}, {estimate.needed} needed)"
