"""From an offer of the price files, or a device-hour of one's own, to what usage costs."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from quickthaw.errors import InvalidRequest
from quickthaw_platform.metering.usage.focus import Tariff, UnitPrices
from quickthaw_platform.metering.usage.records import Subject
from quickthaw_platform.prices.billing import marginal
from quickthaw_platform.prices.catalogue import load

OWN = "own-machine"
OWN_PROVIDER = "self-hosted"
GIB = 1 << 30


def own_machine(hourly_usd: float) -> Tariff:
    """Return what a machine of one's own costs: so much for each hour that an instance holds a device."""
    return Tariff(OWN, OWN_PROVIDER, None, lambda _subject: UnitPrices.hourly(hourly_usd))


def offered(id: str, vcpus: float, user_dir: Path) -> Tariff:
    """Return what an offer asks for each second of an instance of so many vCPUs.

    OfferNotFound names the near ones; InvalidRequest says why an offer has no such price: nobody knows it, or it bills
    each request's own seconds, which usage does not hold (`quickthaw compare` bills those).
    """
    offer = load(user_dir).get(id)

    @cache
    def prices(subject: Subject) -> UnitPrices:
        on_gpu = subject.device.startswith("cuda")
        gpu = offer.gpu if on_gpu else None
        found = marginal(offer, vcpus, subject.memory_bytes / GIB, gpu, int(on_gpu and gpu is not None))
        if found.request_second:
            raise InvalidRequest(
                f"price: {id} bills the seconds of each request by itself, which usage does not hold; name an offer "
                "that bills instances, or let `quickthaw compare` bill it",
                param="price",
            )
        return UnitPrices(found.starting, found.busy, found.idle, found.draining, found.request)

    return Tariff(id, offer.provider, offer.region, prices)
