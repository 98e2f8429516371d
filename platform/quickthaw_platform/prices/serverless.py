"""Bills of platforms that scale to zero."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from quickthaw_platform.errors import InvalidRequest
from quickthaw_platform.prices.bill import Line
from quickthaw_platform.prices.consumption import Consumption, InstanceSpan
from quickthaw_platform.prices.figure import Figure
from quickthaw_platform.prices.offer import ServerlessOffer
from quickthaw_platform.prices.sizes import Size, billed_size
from quickthaw_platform.prices.terms import Prices
from quickthaw_platform.prices.units import Meter

_HAIR = 1e-9


def serverless_lines(offer: ServerlessOffer, use: Consumption) -> tuple[list[Line], list[str]]:
    """Return the rows of the bill, and the notes to it."""
    size = billed_size(offer, use.vcpus, use.memory_gib, use.gpu, use.gpus)
    lines = timed(offer.prices, size, _seconds(offer, use), offer.factor, _OF[offer.billed])
    if use.always_on:
        lines += _always_on(offer, use, size)
    notes = [*size.notes, *_notes(offer, use)]
    lines += requests(offer.prices.request, use, notes)
    return lines, notes


_OF = {"request": "of requests", "active": "of instances that start or serve", "instance": "of instances"}


def requests(price: Figure | None, use: Consumption, notes: list[str]) -> list[Line]:
    """Return the row for the number of requests; a note is added where they have a price that nobody knows."""
    if price is None:
        return []
    if not price.known:
        notes.append("what requests cost by number is not known and not in it")
        return []
    return [Line("requests", Meter.REQUEST, use.requests, price.per_unit)]


def timed(prices: Prices, size: Size, seconds: float, factor: float, of: str) -> list[Line]:
    """Return the rows for so many seconds of an instance of this size."""
    each = (
        ("processors", prices.vcpu, Meter.VCPU, size.vcpus),
        ("memory", prices.memory, Meter.MEMORY, size.memory_gib),
        ("GPUs", prices.gpu, Meter.GPU, size.gpus),
        ("time", prices.instance, Meter.INSTANCE, 1),
    )
    return [
        Line(f"{name} {of}", meter, seconds * amount, price.per_unit * factor)
        for name, price, meter, amount in each
        if price is not None
    ]


def billed_seconds(offer: ServerlessOffer, span: InstanceSpan) -> float:
    """Return how much of an instance's life counts, before it is rounded. Unknown terms are read to cost more."""
    setup = 0.0 if offer.setup_billed.value is False else span.starting
    if offer.billed == "request":
        return setup
    if offer.billed == "active":
        return setup + span.busy + span.draining
    return span.life - span.starting + setup


def rounded_up(seconds: NDArray[np.float64] | Sequence[float], step: float) -> NDArray[np.float64]:
    """Round each of some durations up to whole steps; what is whole within a billionth of a step stays."""
    exact = np.asarray(seconds, dtype=np.float64)
    return np.maximum(exact, np.ceil(exact / step - _HAIR) * step) if step else exact


def _seconds(offer: ServerlessOffer, use: Consumption) -> float:
    step = offer.rounding.amount if offer.rounding is not None and offer.rounding.known else 0.0
    lives = [billed_seconds(offer, span) for span in use.instances]
    total = float(rounded_up(lives, step).sum()) if lives else 0.0
    if offer.billed != "request" or not use.requests:
        return total
    least = offer.minimum_request
    durations = np.maximum(use.durations, least.amount if least is not None and least.known else 0.0)
    return total + float(rounded_up(durations, step).sum())


def _always_on(offer: ServerlessOffer, use: Consumption, size: Size) -> list[Line]:
    prices = offer.always_on_prices or (offer.prices if offer.billed == "instance" else None)
    if prices is None:
        raise InvalidRequest(
            f"what {offer.name} asks for instances that are always on is not in its price file: add "
            f"always_on_prices to an offer {offer.id} of your own",
            param="always_on",
        )
    seconds = use.always_on * use.period_seconds
    return [replace(line, kept=True) for line in timed(prices, size, seconds, offer.factor, "of instances always on")]


_TERMS = ("minimum_request", "minimum_vcpus", "minimum_memory", "memory_step", "memory_per_vcpu")


def _notes(offer: ServerlessOffer, use: Consumption) -> list[str]:
    notes = []
    if offer.setup_billed.value is None:
        notes.append("whether a start is billed is not known; it is taken to be")
    if offer.rounding is not None and not offer.rounding.known:
        notes.append("how times are rounded is not known; they are not")
    for name in _TERMS:
        figure = getattr(offer, name)
        if figure is not None and not figure.known:
            notes.append(f"{name.replace('_', ' ')} exists and is not known; it is not applied")
    if offer.idle_timeout is not None and offer.billed == "instance" and use.instances:
        own = offer.idle_timeout
        told = f"it is {own.amount:g} s" if own.known else "that is not known"
        notes.append(f"idle time as measured under our keep-alive, not under the platform's own idle time-out: {told}")
    if offer.billed == "active" and offer.rounding is not None and use.instances:
        notes.append("busy times of an instance are rounded once together: the true bill is slightly higher")
    if offer.billed == "request" and use.requests and use.instances:
        notes.append("requests that shared an instance are billed as if each had one for itself")
    notes += [f"multiplier {m.name}: {m.factor.amount:g} x" for m in offer.multipliers if m.applied]
    return notes
