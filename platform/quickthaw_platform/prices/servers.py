"""Bills of servers and of machines of one's own: whole machines, paid while they stand."""

from __future__ import annotations

import math

from quickthaw_platform.errors import InvalidRequest
from quickthaw_platform.prices.bill import Line
from quickthaw_platform.prices.consumption import Consumption
from quickthaw_platform.prices.offer import OwnMachine, ServerOffer
from quickthaw_platform.prices.serverless import requests, rounded_up
from quickthaw_platform.prices.units import HOUR_SECONDS, MONTH_SECONDS, Meter

_HAIR = 1e-9
_YEAR_SECONDS = 365 * 86_400.0


def server_lines(offer: ServerOffer | OwnMachine, use: Consumption) -> tuple[list[Line], list[str]]:
    """Return the rows of the bill, and the notes to it."""
    each, notes = replicas_per_machine(offer, use.vcpus, use.memory_gib, use.gpu, use.gpus)
    wanted = use.always_on + sum(span.life for span in use.instances) / use.period_seconds
    count = max(math.ceil(wanted / each - _HAIR), _floor(offer))
    if use.instances:
        notes.append(f"machines for the mean of {wanted:.2f} instances; for their peak it may take more")
    if each > 1:
        notes.append(f"{each} replicas fit into one machine")
    seconds = float(rounded_up([use.period_seconds], _step(offer))[0]) * count
    name = f"{count} x {offer.name}"
    if isinstance(offer, OwnMachine):
        return _own(offer, name, seconds), notes
    lines = [Line(name, Meter.INSTANCE, seconds, _per_second(offer), kept=True)]
    if offer.setup is not None:
        lines += _setup(offer, use.period_seconds * count, notes)
    lines += requests(offer.price_request, use, notes)
    if offer.term == "spot":
        notes.append("a spot price: the machine may be taken away at any time")
    if offer.commitment is not None and offer.commitment.known:
        notes.append(f"needs a commitment of {offer.commitment.amount:g} months")
    return lines, notes + [f"multiplier {m.name}: {m.factor.amount:g} x" for m in offer.multipliers if m.applied]


def replicas_per_machine(
    offer: ServerOffer | OwnMachine, vcpus: float, memory_gib: float, gpu: str | None, gpus: int
) -> tuple[int, list[str]]:
    """Return how many instances of this size one machine holds, and notes; InvalidRequest where it holds none.

    On a machine with GPUs each instance takes whole ones: one, where it was measured on a CPU.
    """
    machine, notes = offer.machine, []
    if gpu is not None and not machine.gpus:
        raise InvalidRequest(f"{offer.name} has no GPU, and this was measured on {gpu}", param="gpu")
    if machine.gpus and gpu is None:
        notes.append(f"measured without a GPU: each instance is given one {offer.gpu} of the machine")
    elif gpu != offer.gpu:
        notes.append(f"measured on {gpu}, billed as {offer.gpu}")
    needs = {
        "GPUs": (max(1, gpus) if machine.gpus else 0, machine.gpus),
        "vCPU": (vcpus, machine.vcpus),
        "GiB of memory": (memory_gib, machine.memory_gib),
    }
    fit = []
    for what, (need, has) in needs.items():
        if has is None:
            notes.append(f"how many {what} the machine has is not known; taken as enough")
        elif need > has * (1 + _HAIR):
            raise InvalidRequest(f"{offer.name} has {has:g} {what}, and an instance needs {need:g}")
        elif need:
            fit.append(math.floor(has / need + _HAIR))
    return min(fit, default=1), notes


def second_of(offer: ServerOffer | OwnMachine) -> float:
    """Return what one machine costs a second, a purchase's share included, in the offer's currency."""
    if isinstance(offer, OwnMachine):
        return sum(line.amount for line in _own(offer, "", 1.0))
    return _per_second(offer) + sum(line.amount for line in _setup(offer, 1.0, []))


def _per_second(offer: ServerOffer) -> float:
    price = offer.price
    assert price is not None  # a catalogue resolves `over`
    of_all = offer.machine.gpus if "GPU" in price.unit else 1
    return price.per_unit * of_all * offer.factor


def _own(offer: OwnMachine, name: str, seconds: float) -> list[Line]:
    purchase = offer.capital.amount / (offer.life.amount * _YEAR_SECONDS) / offer.ready_share
    energy = offer.power.amount / 1000 / HOUR_SECONDS * offer.energy.amount
    lines = [
        Line(f"purchase of {name}", Meter.INSTANCE, seconds, purchase, kept=True),
        Line(f"energy of {name}", Meter.INSTANCE, seconds, energy, kept=True),
    ]
    if offer.other is not None:
        other = offer.other.amount / MONTH_SECONDS / offer.ready_share
        lines.append(Line(f"other cost of {name}", Meter.INSTANCE, seconds, other, kept=True))
    return lines


def _setup(offer: ServerOffer, seconds: float, notes: list[str]) -> list[Line]:
    if offer.setup is None or not offer.setup.known:
        return []
    if offer.setup_over is None or not offer.setup_over.known:
        notes.append(f"a set-up of {offer.setup.amount:g} {offer.currency} a machine, once, is not in it")
        return []
    months = offer.setup_over.amount
    notes.append(f"its set-up is spread over {months:g} months")
    return [Line("set-up", Meter.INSTANCE, seconds, offer.setup.amount / (months * MONTH_SECONDS), kept=True)]


def _step(offer: ServerOffer | OwnMachine) -> float:
    rounding = offer.rounding if isinstance(offer, ServerOffer) else None
    return rounding.amount if rounding is not None and rounding.known else 0.0


def _floor(offer: ServerOffer | OwnMachine) -> int:
    floor = offer.floor_machines if isinstance(offer, ServerOffer) else None
    return math.ceil(floor.amount) if floor is not None and floor.known else 0
