"""What an offer asks for a measured use: pure, from the terms in a price file and a `Consumption`."""

from __future__ import annotations

from dataclasses import dataclass

from quickthaw_platform.errors import InvalidRequest
from quickthaw_platform.prices.bill import Bill, monthly
from quickthaw_platform.prices.consumption import Consumption, InstanceSpan
from quickthaw_platform.prices.figure import Figure
from quickthaw_platform.prices.offer import Offer, ServerlessOffer
from quickthaw_platform.prices.serverless import billed_seconds, serverless_lines, timed
from quickthaw_platform.prices.servers import replicas_per_machine, second_of, server_lines
from quickthaw_platform.prices.sizes import billed_size
from quickthaw_platform.prices.units import Meter

__all__ = ["Bill", "Marginal", "bill", "marginal", "monthly"]


class PriceUnknown(InvalidRequest):
    """The offer has a price that nobody knows: it cannot be billed."""

    default_code = "price_unknown"


def bill(offer: Offer, use: Consumption) -> Bill:
    """Return what the offer asks for this use, row by row, without what is free each month (see `monthly`).

    A use measured without a GPU may be billed on an offer with one: each second of an instance then counts as a
    second of that GPU, and a note says so. InvalidRequest says why the offer cannot serve this use; PriceUnknown
    (a kind of it) that one of its prices is not known.
    """
    _known(offer)
    if isinstance(offer, ServerlessOffer):
        lines, notes = serverless_lines(offer, use)
        free, credit = _free(offer, notes)
    else:
        lines, notes = server_lines(offer, use)
        free, credit = (), 0.0
    rate = _rate(offer)
    if rate is None:
        notes.append(f"no rate of {offer.currency} to USD is known: set one in rates.toml")
    return Bill(offer.id, offer.currency, tuple(lines), tuple(dict.fromkeys(notes)), rate, free, credit)


@dataclass(frozen=True)
class Marginal:
    """What one more of each costs, in USD: the view of an offer that closed forms are drawn from.

    All but `request` are by the second: of an instance that starts, serves (however many requests), idles, drains;
    of a request while it holds a slot (where requests are billed singly, `busy` is 0 and this is not); of one
    instance that is always on: for a server, the replica's share of a full machine. `always_on` is None where an
    offer has no price for it. Rounding, floors and free quantities are left out, so a true bill is not lower
    before its free quantities.
    """

    starting: float
    busy: float
    idle: float
    draining: float
    request_second: float
    request: float
    always_on: float | None


def marginal(
    offer: Offer, vcpus: float, memory_gib: float, gpu: str | None = None, gpus: int = 0
) -> Marginal:  # fmt: skip
    """Return the linear prices of an instance of this size; errors as of `bill`, and where no rate to USD is known."""
    _known(offer)
    rate = _rate(offer)
    if rate is None:
        raise PriceUnknown(f"no rate of {offer.currency} to USD is known: set one in rates.toml", param="rate")
    if isinstance(offer, ServerlessOffer):
        return _serverless(offer, vcpus, memory_gib, gpu, gpus, rate)
    each, _ = replicas_per_machine(offer, vcpus, memory_gib, gpu, gpus)
    second = second_of(offer) / each * rate
    request = _per_request(getattr(offer, "price_request", None)) * rate
    return Marginal(second, second, second, second, 0.0, request, second)


def _serverless(
    offer: ServerlessOffer, vcpus: float, memory_gib: float, gpu: str | None, gpus: int, rate: float
) -> Marginal:  # fmt: skip
    size = billed_size(offer, vcpus, memory_gib, gpu, gpus)
    second = sum(line.amount for line in timed(offer.prices, size, rate, offer.factor, ""))
    phases = {
        name: second * billed_seconds(offer, InstanceSpan(1.0, **{name: 1.0}))
        for name in ("starting", "busy", "idle", "draining")
    }
    kept = offer.always_on_prices or (offer.prices if offer.billed == "instance" else None)
    always_on = None if kept is None else sum(line.amount for line in timed(kept, size, rate, offer.factor, ""))
    of_requests = second if offer.billed == "request" else 0.0
    return Marginal(
        **phases,
        request_second=of_requests,
        request=_per_request(offer.prices.request) * rate,
        always_on=always_on,
    )


def _per_request(price: Figure | None) -> float:
    return price.per_unit if price is not None and price.known else 0.0


def _known(offer: Offer) -> None:
    if offer.unknown:
        raise PriceUnknown(
            f"{offer.name} ({offer.id}) cannot be billed, since nobody knows its {', '.join(offer.unknown)}. Put what "
            "you pay into a price file of your own",
            param=offer.unknown[0],
        )


def _rate(offer: Offer) -> float | None:
    if offer.currency == "USD":
        return 1.0
    return offer.rate.amount if offer.rate is not None and offer.rate.known else None


def _free(offer: ServerlessOffer, notes: list[str]) -> tuple[tuple[tuple[Meter, float], ...], float]:
    free = offer.free
    each = (
        (Meter.REQUEST, free.requests),
        (Meter.VCPU, free.vcpu),
        (Meter.MEMORY, free.memory),
        (Meter.GPU, free.gpu),
    )
    if any(figure is not None and not figure.known for figure in (*(figure for _, figure in each), free.credit)):
        notes.append("something is free each month and how much is not known; it is not taken off")
    known = tuple((meter, figure.amount) for meter, figure in each if figure is not None and figure.known)
    return known, free.credit.amount if free.credit is not None and free.credit.known else 0.0
