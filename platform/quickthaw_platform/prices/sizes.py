"""How large an instance is on the bill: minimums beside a GPU, memory in steps, processors that come with memory."""

from __future__ import annotations

import math
from dataclasses import dataclass

from quickthaw_platform.errors import InvalidRequest
from quickthaw_platform.prices.figure import Figure
from quickthaw_platform.prices.offer import ServerlessOffer

_HAIR = 1e-9


@dataclass(frozen=True)
class Size:
    """What is billed of one instance. `notes` say where that is more than was used."""

    vcpus: float
    memory_gib: float
    gpus: int
    notes: tuple[str, ...] = ()


def billed_size(offer: ServerlessOffer, vcpus: float, memory_gib: float, gpu: str | None, gpus: int) -> Size:
    """Return what the offer bills of an instance that has this; InvalidRequest where it cannot have it."""
    count, notes = _gpus(offer, gpu, gpus)
    cpu = max(vcpus, _value(offer.minimum_vcpus))
    memory = max(memory_gib, _value(offer.minimum_memory), cpu * _value(offer.memory_per_vcpu))
    step = _value(offer.memory_step)
    if step:
        memory = max(memory, math.ceil(memory / step - _HAIR) * step)
    beside = f" beside {_article(offer.gpu)} {offer.gpu}" if offer.gpu else ""
    if cpu > vcpus:
        notes.append(f"minimum {cpu:g} vCPU{beside}; {vcpus:g} were used")
    if memory > memory_gib:
        notes.append(f"billed {memory:g} GiB of memory{beside}; {memory_gib:g} were used")
    _fits(offer, "vCPU", cpu, offer.maximum_vcpus)
    _fits(offer, "GiB of memory", memory, offer.maximum_memory)
    return Size(cpu, memory, count, tuple(notes))


def _gpus(offer: ServerlessOffer, gpu: str | None, gpus: int) -> tuple[int, list[str]]:
    if offer.gpu is None:
        if gpu is not None:
            raise InvalidRequest(f"{offer.name} has no GPU, and this was measured on {gpu}", param="gpu")
        return 0, []
    if gpu is None:
        return 1, [f"measured without a GPU: each second of an instance is billed as one with one {offer.gpu}"]
    notes = [] if gpu == offer.gpu else [f"measured on {gpu}, billed as {offer.gpu}"]
    return max(1, gpus), notes


def _fits(offer: ServerlessOffer, what: str, wanted: float, most: Figure | None) -> None:
    if most is not None and most.known and wanted > most.amount * (1 + _HAIR):
        raise InvalidRequest(
            f"an instance of {offer.name} has at most {most.amount:g} {what}, and {wanted:g} are needed"
        )


def _article(name: str) -> str:
    return "an" if name[0] in "AEFHILMNORSX" else "a"


def _value(figure: Figure | None) -> float:
    return figure.amount if figure is not None and figure.known else 0.0
