"""One thing that can be bought to serve a model: a serverless platform, a server, or a machine of one's own."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Literal

from pydantic import Field, model_validator

from quickthaw.types import Name
from quickthaw_platform.errors import NotFound
from quickthaw_platform.prices.figure import (
    EnergyPrice,
    Figure,
    Gibibytes,
    GibibytesPerVcpu,
    MachinePrice,
    Machines,
    Mark,
    Model,
    Money,
    MonthlyMoney,
    Months,
    RequestPrice,
    Seconds,
    Share,
    Text,
    Truth,
    Vcpus,
    Watts,
    Years,
    sourced,
    worst,
)
from quickthaw_platform.prices.terms import Free, Machine, Multiplier, Prices, Surcharge
from quickthaw_platform.prices.units import Currency

STALE_DAYS = 180


class _Offer(Model):
    id: Name
    name: Text
    provider: Text
    currency: Currency = "USD"
    region: Text | None = None
    gpu: Text | None = Field(None, description="model of the GPU beside each instance, or in the machine")
    notes: tuple[Text, ...] = ()
    multipliers: tuple[Multiplier, ...] = ()
    rate: Figure | None = Field(None, description="USD for one of another currency; set when the offer is loaded")

    @model_validator(mode="after")
    def _one_currency(self) -> _Offer:
        for place, item in sourced(self):
            if place != "rate" and isinstance(item, Figure) and item.currency not in (None, self.currency):
                raise ValueError(f"{place} is in {item.currency} and the offer in {self.currency}: write two offers")
        return self

    @property
    def unknown(self) -> tuple[str, ...]:
        """The prices without which it cannot be billed and which nobody knows."""
        return tuple(name for name, figure in self.needed() if not figure.known)

    def needed(self) -> Iterator[tuple[str, Figure]]:
        """Yield the figures without which it cannot be billed, by name."""
        yield from ()

    @property
    def billable(self) -> bool:
        """Whether all prices are known."""
        return not self.unknown

    @property
    def factor(self) -> float:
        """The product of the multipliers that are applied."""
        product = 1.0
        for multiplier in self.multipliers:
            product *= multiplier.factor.amount if multiplier.applied else 1.0
        return product

    @property
    def oldest(self) -> dt.date | None:
        """The oldest date of its needed prices; None if one of them has none."""
        days = [figure.day for _, figure in self.needed()]
        return None if None in days else min((day for day in days if day is not None), default=None)

    @property
    def mark(self) -> Mark:
        """The worst mark among its needed prices."""
        return worst({figure.mark for _, figure in self.needed()})

    def age_days(self, today: dt.date) -> int | None:
        """How old the oldest of its prices is."""
        return None if self.oldest is None else (today - self.oldest).days

    def stale(self, today: dt.date) -> bool:
        """Whether its prices have no date, or an old one."""
        age = self.age_days(today)
        return age is None or age > STALE_DAYS


class ServerlessOffer(_Offer):
    """A platform that scales to zero.

    `billed` says which seconds count: "request": each request's own, as if each had an instance for itself;
    "active": those in which an instance starts or serves at least one request; "instance": from its start to its
    stop, idle time included. `rounding` is up to whole steps, of each request with "request", otherwise of each
    instance's time.
    """

    kind: Literal["serverless"]
    billed: Literal["request", "active", "instance"]
    prices: Prices
    always_on_prices: Prices | None = Field(None, description="of instances that are kept always on")
    rounding: Seconds | None = None
    minimum_request: Seconds | None = Field(None, description="a shorter request counts as this long")
    setup_billed: Truth
    idle_timeout: Seconds | None = Field(None, description="how long the platform itself keeps, and bills, idle ones")
    minimum_vcpus: Vcpus | None = None
    minimum_memory: Gibibytes | None = None
    maximum_vcpus: Vcpus | None = None
    maximum_memory: Gibibytes | None = None
    memory_step: Gibibytes | None = Field(None, description="memory is rounded up to a multiple of this")
    memory_per_vcpu: GibibytesPerVcpu | None = Field(None, description="processors come with memory, as on AWS Lambda")
    free: Free = Free()

    def needed(self) -> Iterator[tuple[str, Figure]]:
        """Yield its unit prices. A price of requests that nobody knows is left out of bills, with a note."""
        for name, figure in self.prices.figures():
            if name != "request" or figure.known:
                yield f"prices.{name}", figure


class _Whole(_Offer):
    machine: Machine


class ServerOffer(_Whole):
    """A server, paid while it stands. Machines are whole: their number is rounded up to hold the replicas.

    Give `price`, or `over` to take it from another offer. A price by GPU-hour is of each of the machine's GPUs.
    """

    kind: Literal["server"]
    price: MachinePrice | None = None
    over: Surcharge | None = None
    price_request: RequestPrice | None = None
    term: Literal["on-demand", "reserved", "spot"] = "on-demand"
    commitment: Months | None = None
    setup: Money | None = Field(None, description="paid once")
    setup_over: Months | None = Field(None, description="how long `setup` is spread over; else it is left out and said")
    rounding: Seconds | None = Field(None, description="the time that a machine stands is rounded up to this")
    floor_machines: Machines | None = Field(None, description="never fewer machines than this")

    @model_validator(mode="after")
    def _priced(self) -> ServerOffer:
        if self.price is None and self.over is None:
            raise ValueError("lacks `price` (or `over`, another offer's price plus so many percent)")
        if self.price is not None and self.price.unit.endswith(("GPU-s", "GPU-h")) and not self.machine.gpus:
            raise ValueError("price is by GPU and machine.gpus is 0")
        return self

    def needed(self) -> Iterator[tuple[str, Figure]]:
        """Yield its price, by time and by request, and what is added to another's."""
        if self.price is not None:
            yield "price", self.price
        if self.price_request is not None and self.price_request.known:
            yield "price_request", self.price_request
        if self.over is not None:
            yield "over.percent", self.over.percent


class OwnMachine(_Whole):
    """A machine that was bought.

    Its hour costs (capital / life + other) / utilisation + power x energy. `utilisation` is the share of its life in
    which it stands ready for use: the hours in which it does not are paid by those in which it does.
    """

    kind: Literal["own-machine"]
    capital: Money
    life: Years
    power: Watts = Field(description="mean draw while it stands ready")
    energy: EnergyPrice
    utilisation: Share
    other: MonthlyMoney | None = Field(None, description="room, network, people")

    def needed(self) -> Iterator[tuple[str, Figure]]:
        """Yield what its hour is reckoned from."""
        for name in ("capital", "life", "power", "energy", "utilisation", "other"):
            figure = getattr(self, name)
            if figure is not None:
                yield name, figure

    @model_validator(mode="after")
    def _divisors(self) -> OwnMachine:
        for name in ("life", "utilisation"):
            if getattr(self, name).value == 0:
                raise ValueError(f"{name} cannot be 0")
        if self.utilisation.known and self.ready_share > 1:
            raise ValueError("utilisation cannot be more than all of the time")
        return self

    @property
    def ready_share(self) -> float:
        """`utilisation` as a share."""
        return self.utilisation.amount / (100 if self.utilisation.unit == "%" else 1)


Offer = ServerlessOffer | ServerOffer | OwnMachine
KINDS: dict[str, type[ServerlessOffer] | type[ServerOffer] | type[OwnMachine]] = {
    "serverless": ServerlessOffer,
    "server": ServerOffer,
    "own-machine": OwnMachine,
}


class MultiplierNotFound(NotFound):
    """The offer has no such multiplier."""

    default_code = "multiplier_not_found"
    noun = "multiplier"


def multiplied(offer: Offer, *names: str) -> Offer:
    """Return the offer with these multipliers applied, such as "non-preemptible"; MultiplierNotFound lists them."""
    known = {multiplier.name for multiplier in offer.multipliers}
    for name in names:
        if name not in known:
            raise MultiplierNotFound.named(name, known, f"The offer is {offer.id}.")
    changed = tuple(m.model_copy(update={"applied": m.applied or m.name in names}) for m in offer.multipliers)
    return offer.model_copy(update={"multipliers": changed})
