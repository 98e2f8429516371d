"""Usage with a price as FOCUS 1.3 "Cost and Usage" rows (focus.finops.org): one a day, key, phase and version. Pure.

FOCUS knows no device-second of a language model's instance, so: the resource is the version, the sub-account is the
API key, the rest is in Tags. The columns of LEGACY repeat others under names of FOCUS 0.5: the released validator
(focus-validator 1.0.0, which checks FOCUS 1.0) still asks for them.
"""

from __future__ import annotations

import datetime as dt
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from quickthaw.resources import FocusRow
from quickthaw_platform.metering.usage.device_meter import DECODE, DRAINING, IDLE, NOBODY, PREFILL, STARTING
from quickthaw_platform.metering.usage.records import Subject, UsageRecord

SERVICE = "quickthaw"
DAY_SECONDS = 86_400.0
REQUESTS = "requests"
LEGACY = {
    "Provider": "ProviderName",
    "Publisher": "PublisherName",
    "InvoiceIssuer": "InvoiceIssuerName",
    "ResourceID": "ResourceId",
    "ChargeType": "ChargeCategory",
}
EMPTY = (
    "AllocatedMethodDetails", "AllocatedMethodId", "AllocatedResourceId", "AllocatedResourceName", "AllocatedTags",
    "AvailabilityZone", "CapacityReservationId", "CapacityReservationStatus", "ChargeClass",
    "CommitmentDiscountCategory", "CommitmentDiscountId", "CommitmentDiscountName", "CommitmentDiscountQuantity",
    "CommitmentDiscountStatus", "CommitmentDiscountType", "CommitmentDiscountUnit", "ContractApplied", "InvoiceId",
    "SkuPriceDetails",
)  # fmt: skip
"""Columns that have nothing to say here."""


@dataclass(frozen=True, slots=True)
class UnitPrices:
    """What an instance of one size costs, in USD: a second in each phase, and a request."""

    starting: float
    busy: float
    idle: float
    draining: float
    request: float = 0.0

    @classmethod
    def hourly(cls, usd: float) -> UnitPrices:
        """One's own machine: a device-hour costs the same whatever it is used for."""
        second = usd / 3600
        return cls(second, second, second, second)

    def of(self, meter: str) -> float:
        """Return the price of one second in a phase, or of a request."""
        prices = {
            STARTING: self.starting, PREFILL: self.busy, DECODE: self.busy, IDLE: self.idle, DRAINING: self.draining,
            REQUESTS: self.request,
        }  # fmt: skip
        return prices[meter]


@dataclass(frozen=True, slots=True)
class Tariff:
    """Where the prices come from."""

    sku: str
    provider: str
    region: str | None
    prices: Callable[[Subject], UnitPrices]


class _Charge(NamedTuple):
    day: float  # when it starts, Unix seconds
    subject: Subject
    key: str
    meter: str  # a phase, the start's stages as one; or REQUESTS


def focus_rows(
    records: Iterable[UsageRecord], since: float | None, until: float, tariff: Tariff, key_names: Mapping[str, str]
) -> list[FocusRow]:
    """Price what was used between `since` and `until` (Unix seconds); `key_names` are those of API keys by id.

    Days are those of UTC. Requests have rows where they have a price.
    """
    sums: defaultdict[_Charge, float] = defaultdict(float)
    for record in records:
        for charge, quantity in _charges(record):
            sums[charge] += quantity
    rows = []
    for charge, quantity in sorted(sums.items()):
        price = tariff.prices(charge.subject).of(charge.meter)
        if quantity and (price or charge.meter != REQUESTS):
            start = charge.day if since is None else max(charge.day, since)
            span = _when(start, min(charge.day + DAY_SECONDS, max(until, start + 1)))
            rows.append(_row(charge, quantity, price, span, tariff, key_names))
    return rows


def _charges(record: UsageRecord) -> Iterator[tuple[_Charge, float]]:
    day = record.start - record.start % DAY_SECONDS
    for (phase, key), seconds in record.seconds.items():
        yield _Charge(day, record.subject, key, phase.partition("/")[0]), seconds
    for key, requests in record.requests.items():
        yield _Charge(day, record.subject, key, REQUESTS), requests


def _when(start: float, end: float) -> FocusRow:
    first = dt.datetime.fromtimestamp(start, dt.UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    following = (first + dt.timedelta(days=32)).replace(day=1)
    return {
        "BillingPeriodStart": _text(first.timestamp()),
        "BillingPeriodEnd": _text(following.timestamp()),
        "ChargePeriodStart": _text(start),
        "ChargePeriodEnd": _text(end),
    }


def _text(moment: float) -> str:
    return dt.datetime.fromtimestamp(int(moment), dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _row(
    charge: _Charge, quantity: float, price: float, span: FocusRow, tariff: Tariff, key_names: Mapping[str, str]
) -> FocusRow:  # fmt: skip
    subject, key = charge.subject, charge.key
    unit = "Requests" if charge.meter == REQUESTS else "Seconds"
    cost, quantity = float(price * quantity), float(quantity)
    tags = {**subject._asdict(), "memory_bytes": str(subject.memory_bytes), "phase": charge.meter}
    row: FocusRow = {
        **dict.fromkeys(EMPTY),
        **span,
        "BilledCost": cost,
        "ContractedCost": cost,
        "EffectiveCost": cost,
        "ListCost": cost,
        "BillingAccountId": SERVICE,
        "BillingAccountName": SERVICE,
        "BillingAccountType": "Cluster",
        "BillingCurrency": "USD",
        "ChargeCategory": "Usage",
        "ChargeDescription": f"{subject.function}, {charge.meter}, on {subject.node} ({subject.device})",
        "ChargeFrequency": "Usage-Based",
        "ConsumedQuantity": quantity,
        "ConsumedUnit": unit,
        "ContractedUnitPrice": float(price),
        "ListUnitPrice": float(price),
        "PricingCategory": "Standard",
        "PricingCurrency": "USD",
        "PricingCurrencyContractedUnitPrice": float(price),
        "PricingCurrencyEffectiveCost": cost,
        "PricingCurrencyListUnitPrice": float(price),
        "PricingQuantity": quantity,
        "PricingUnit": unit,
        "HostProviderName": tariff.provider,
        "InvoiceIssuerName": tariff.provider,
        "ProviderName": tariff.provider,
        "PublisherName": tariff.provider,
        "ServiceProviderName": tariff.provider,
        "RegionId": tariff.region,
        "RegionName": tariff.region,
        "ResourceId": subject.version,
        "ResourceName": subject.function,
        "ResourceType": "Function version",
        "ServiceCategory": "AI and Machine Learning",
        "ServiceName": SERVICE,
        "ServiceSubcategory": "Generative AI",
        "SkuId": tariff.sku,
        "SkuMeter": charge.meter,
        "SkuPriceId": f"{tariff.sku}/{charge.meter}",
        "SubAccountId": None if key == NOBODY else key,
        "SubAccountName": None if key == NOBODY else key_names.get(key, key),
        "SubAccountType": None if key == NOBODY else "API key",
        "Tags": json.dumps(tags, separators=(",", ":")),
    }
    legacy: FocusRow = {old: row[new] for old, new in LEGACY.items()}
    return dict(sorted(row.items())) | legacy
