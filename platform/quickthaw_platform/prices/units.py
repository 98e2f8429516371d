"""The units that price files may use, and what one of each is in the platform's own units.

A price is written `USD/GiB-s`: a currency, a stroke, a measure. Anything else is a plain quantity, such as `s`.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Currency = Literal["USD", "EUR"]
CURRENCIES: tuple[Currency, ...] = ("USD", "EUR")

HOUR_SECONDS = 3600.0
MONTH_SECONDS = 365 / 12 * 86_400
"""A twelfth of a year of 365 days: 730 hours, as the clouds' own calculators count."""
GIB_IN_GB = 2**30 / 1e9
VCPUS_IN_CORE = 2


class Meter(enum.StrEnum):
    """What is counted for a bill; the value is the unit in which the platform counts it."""

    REQUEST = "request"
    VCPU = "vCPU-s"
    MEMORY = "GiB-s"
    GPU = "GPU-s"
    INSTANCE = "s"  # an instance, or a whole machine, with all that is in it
    TOKEN = "token"
    FEE = "fee"  # what is not counted at all: a credit, a part of a purchase


@dataclass(frozen=True)
class Measure:
    """What a price is for: so many of the meter's own units."""

    meter: Meter
    amount: float


MEASURES: Mapping[str, Measure] = {
    "request": Measure(Meter.REQUEST, 1),
    "million requests": Measure(Meter.REQUEST, 1e6),
    "vCPU-s": Measure(Meter.VCPU, 1),
    "vCPU-h": Measure(Meter.VCPU, HOUR_SECONDS),
    "core-s": Measure(Meter.VCPU, VCPUS_IN_CORE),
    "core-h": Measure(Meter.VCPU, VCPUS_IN_CORE * HOUR_SECONDS),
    "GiB-s": Measure(Meter.MEMORY, 1),
    "GiB-h": Measure(Meter.MEMORY, HOUR_SECONDS),
    "GB-s": Measure(Meter.MEMORY, 1 / GIB_IN_GB),
    "GB-h": Measure(Meter.MEMORY, HOUR_SECONDS / GIB_IN_GB),
    "GPU-s": Measure(Meter.GPU, 1),
    "GPU-h": Measure(Meter.GPU, HOUR_SECONDS),
    "s": Measure(Meter.INSTANCE, 1),
    "h": Measure(Meter.INSTANCE, HOUR_SECONDS),
    "month": Measure(Meter.INSTANCE, MONTH_SECONDS),
    "million tokens": Measure(Meter.TOKEN, 1e6),
}

QUANTITIES = frozenset(
    {
        "s", "h", "months", "years", "vCPU", "GiB", "GPU", "GiB/vCPU", "instances", "machines", "%", "x", "share", "W",
        "requests/month", "vCPU-s/month", "GiB-s/month", "GPU-s/month", *CURRENCIES,
    }
)  # fmt: skip
ENERGY = frozenset(f"{currency}/kWh" for currency in CURRENCIES)


def is_unit(text: str) -> bool:
    """Say whether price files may use this unit at all."""
    return text in QUANTITIES or text in ENERGY or measure_of(text) is not None


def measure_of(text: str) -> Measure | None:
    """Return what a price of this unit is for; None if it is not the unit of a price."""
    currency, stroke, measure = text.partition("/")
    return MEASURES.get(measure) if stroke and currency in CURRENCIES else None


def currency_of(text: str) -> str | None:
    """Return the currency in a unit, if there is one."""
    start = text.partition("/")[0]
    return start if start in CURRENCIES else None


def known_units() -> str:
    """List what may be written, for messages."""
    prices = ", ".join(f"USD/{measure}" for measure in MEASURES)
    return f"{prices} (or EUR/…); {', '.join(sorted(QUANTITIES | ENERGY))}"
