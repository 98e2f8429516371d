"""The parts of an offer: unit prices, free quantities, factors, the machine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field, model_validator

from quickthaw.types import Name
from quickthaw_platform.prices.figure import (
    Factor,
    Figure,
    FreeGpu,
    FreeMemory,
    FreeRequests,
    FreeVcpu,
    GpuPrice,
    InstancePrice,
    MemoryPrice,
    Model,
    MonthlyMoney,
    Percent,
    RequestPrice,
    Sourced,
    VcpuPrice,
)


class Prices(Model):
    """Unit prices of a serverless platform; what it does not bill is left out."""

    request: RequestPrice | None = None
    vcpu: VcpuPrice | None = None
    memory: MemoryPrice | None = None
    gpu: GpuPrice | None = None
    instance: InstancePrice | None = None

    @model_validator(mode="after")
    def _some(self) -> Prices:
        if not any(True for _ in self.figures()):
            raise ValueError("name at least one of request, vcpu, memory, gpu, instance")
        return self

    def figures(self) -> Iterator[tuple[str, Figure]]:
        """Yield what there is, by name."""
        for name in type(self).model_fields:
            figure = getattr(self, name)
            if figure is not None:
                yield name, figure


class Free(Model):
    """What is not billed each month. `credit` is taken off the sum."""

    requests: FreeRequests | None = None
    vcpu: FreeVcpu | None = None
    memory: FreeMemory | None = None
    gpu: FreeGpu | None = None
    credit: MonthlyMoney | None = None


class Multiplier(Model):
    """A factor on all unit prices but those of requests, applied only where it is asked for by name."""

    name: Name
    factor: Factor
    applied: bool = False


class Machine(Sourced):
    """What one server has. None where the source does not say: it is then taken as enough."""

    vcpus: Annotated[float, Field(gt=0)] | None = None
    memory_gib: Annotated[float, Field(gt=0)] | None = None
    gpus: int = Field(0, ge=0)


class Surcharge(Model):
    """A price that is another server offer's, plus so many percent."""

    offer: Name
    percent: Percent
