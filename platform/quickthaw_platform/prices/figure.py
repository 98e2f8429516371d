"""Facts with their provenance: each says where it was read, when, and how far it can be trusted."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from quickthaw_platform.prices.units import ENERGY, Meter, currency_of, is_unit, known_units, measure_of

Mark = Literal["read at the source", "second-hand", "not verified"]
READ: Final = "read at the source"
SECOND_HAND: Final = "second-hand"
NOT_VERIFIED: Final = "not verified"
MARKS: tuple[Mark, ...] = (READ, SECOND_HAND, NOT_VERIFIED)
"""From the most to the least trustworthy."""
UNDATED = "undated"

Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Text = Annotated[str, Field(min_length=1)]


class Model(BaseModel):
    """Base of everything in a price file: immutable, unknown fields refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Sourced(Model):
    """Something that was read somewhere.

    `date` is the day of the source, or the first of its month where only that is known; "undated" where neither is,
    which a fact that was read at its source cannot be.
    """

    source: Text
    date: dt.date | Literal["undated"]
    mark: Mark
    note: Text | None = None

    @field_validator("date", mode="before")
    @classmethod
    def _day(cls, value: object) -> object:
        if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
            return value
        if value == UNDATED:
            return value
        raise ValueError('must be a date, such as 2026-11-28 (without quotes), or "undated"')

    @model_validator(mode="after")
    def _dated_if_read(self) -> Sourced:
        if self.date == UNDATED and self.mark == READ:
            raise ValueError(f'what is "{READ}" has a date')
        return self

    @property
    def day(self) -> dt.date | None:
        """The date, None if there is none."""
        return self.date if isinstance(self.date, dt.date) else None


class Figure(Sourced):
    """A number with its unit. Without `value` it is known to exist and not to be known."""

    value: Amount | None = None
    unit: Text

    @field_validator("unit")
    @classmethod
    def _known_unit(cls, unit: str) -> str:
        if not is_unit(unit):
            raise ValueError(f"the unit {unit!r} is unknown; known: {known_units()}")
        return unit

    @model_validator(mode="after")
    def _value_or_unknown(self) -> Figure:
        if self.value is None and self.mark != NOT_VERIFIED:
            raise ValueError(f'lacks `value`; a figure that nobody knows has the mark "{NOT_VERIFIED}"')
        return self

    @property
    def known(self) -> bool:
        """Whether there is a value."""
        return self.value is not None

    @property
    def amount(self) -> float:
        """The value; ask `known` before."""
        if self.value is None:
            raise ValueError(f"a figure of {self.source} has no value")
        return self.value

    @property
    def per_unit(self) -> float:
        """A price in its currency per one of the meter's own units: USD/GiB-h becomes USD per GiB-s."""
        measure = measure_of(self.unit)
        if measure is None:
            raise ValueError(f"{self.unit} is not the unit of a price")
        return self.amount / measure.amount

    @property
    def currency(self) -> str | None:
        """The currency in the unit, if there is one."""
        return currency_of(self.unit)


class Truth(Sourced):
    """Whether something is so. Without `value` nobody knows."""

    value: bool | None = None


class Statement(Sourced):
    """Something said in words. Without `value` it is not known."""

    value: Text | None = None


def _one_of(units: tuple[str, ...]) -> Callable[[Figure], Figure]:
    def check(figure: Figure) -> Figure:
        if figure.unit not in units:
            raise ValueError(f"the unit {figure.unit!r} does not fit here; write {' or '.join(units)}")
        return figure

    return check


def _price(*meters: Meter) -> Callable[[Figure], Figure]:
    def check(figure: Figure) -> Figure:
        measure = measure_of(figure.unit)
        if measure is None or measure.meter not in meters:
            wanted = " or ".join(f"USD/{meter}" for meter in meters)
            raise ValueError(f"the unit {figure.unit!r} does not fit here; it must be a price such as {wanted}")
        return figure

    return check


RequestPrice = Annotated[Figure, AfterValidator(_price(Meter.REQUEST))]
VcpuPrice = Annotated[Figure, AfterValidator(_price(Meter.VCPU))]
MemoryPrice = Annotated[Figure, AfterValidator(_price(Meter.MEMORY))]
GpuPrice = Annotated[Figure, AfterValidator(_price(Meter.GPU))]
InstancePrice = Annotated[Figure, AfterValidator(_price(Meter.INSTANCE))]
MachinePrice = Annotated[Figure, AfterValidator(_price(Meter.INSTANCE, Meter.GPU))]
TokenPrice = Annotated[Figure, AfterValidator(_price(Meter.TOKEN))]

Seconds = Annotated[Figure, AfterValidator(_one_of(("s",)))]
Months = Annotated[Figure, AfterValidator(_one_of(("months",)))]
Years = Annotated[Figure, AfterValidator(_one_of(("years",)))]
Vcpus = Annotated[Figure, AfterValidator(_one_of(("vCPU",)))]
Gibibytes = Annotated[Figure, AfterValidator(_one_of(("GiB",)))]
GibibytesPerVcpu = Annotated[Figure, AfterValidator(_one_of(("GiB/vCPU",)))]
Instances = Annotated[Figure, AfterValidator(_one_of(("instances",)))]
Machines = Annotated[Figure, AfterValidator(_one_of(("machines",)))]
Percent = Annotated[Figure, AfterValidator(_one_of(("%",)))]
Factor = Annotated[Figure, AfterValidator(_one_of(("x",)))]
Share = Annotated[Figure, AfterValidator(_one_of(("share", "%")))]
Watts = Annotated[Figure, AfterValidator(_one_of(("W",)))]
Money = Annotated[Figure, AfterValidator(_one_of(("USD", "EUR")))]
MonthlyMoney = Annotated[Figure, AfterValidator(_one_of(("USD/month", "EUR/month")))]
EnergyPrice = Annotated[Figure, AfterValidator(_one_of(tuple(sorted(ENERGY))))]
FreeRequests = Annotated[Figure, AfterValidator(_one_of(("requests/month",)))]
FreeVcpu = Annotated[Figure, AfterValidator(_one_of(("vCPU-s/month",)))]
FreeMemory = Annotated[Figure, AfterValidator(_one_of(("GiB-s/month",)))]
FreeGpu = Annotated[Figure, AfterValidator(_one_of(("GPU-s/month",)))]


def sourced(model: BaseModel, path: str = "") -> Iterator[tuple[str, Sourced]]:
    """Yield everything with a provenance in a model, by its dotted name; one of several by its own `name`."""
    for name in type(model).model_fields:
        value = getattr(model, name)
        place = f"{path}.{name}" if path else name
        for item in value if isinstance(value, tuple) else (value,):
            if not isinstance(item, BaseModel):
                continue
            here = place if item is value else f"{place}.{getattr(item, 'name', '')}"
            if isinstance(item, Sourced):
                yield here, item
            yield from sourced(item, here)


def worst(marks: set[Mark]) -> Mark:
    """Return the least trustworthy of some marks."""
    return max(marks, key=MARKS.index)
