"""The one place where a comparison meets the price lists: which offers are looked at, and what they ask for a use."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from quickthaw_platform.comparison.recording import Instance
from quickthaw_platform.comparison.report import PriceList
from quickthaw_platform.errors import InvalidRequest, NotFound
from quickthaw_platform.prices.billing import Marginal, bill, marginal, monthly
from quickthaw_platform.prices.catalogue import Catalogue
from quickthaw_platform.prices.consumption import Consumption
from quickthaw_platform.prices.figure import READ
from quickthaw_platform.prices.offer import Offer, ServerlessOffer
from quickthaw_platform.prices.tokens import TokenOffer, buy_tokens

USUAL_GPU = "L4"
"""Offers with this one are shown too where was measured without a GPU: the smallest that many clouds have."""
USUAL_TOKENS = "llama-3.1-8b"
"""Whose tokens are bought where no one sells those of the model that was measured."""


@dataclass(frozen=True)
class Priced:
    """An offer that can be billed for instances like those of the run, and its marginal prices in USD."""

    offer: Offer
    marginal: Marginal

    @property
    def calls(self) -> bool:
        """Whether it is a serverless one."""
        return isinstance(self.offer, ServerlessOffer)


@dataclass(frozen=True)
class Pair:
    """A serverless offer, and what an instance that is always on costs in its stead."""

    calls: Priced
    servers: Priced
    always_on: float  # USD a second

    @property
    def title(self) -> str:
        """Its name for people."""
        if self.servers is self.calls:
            return f"{self.calls.offer.name}, by use against always on"
        return f"{self.calls.offer.name} against {self.servers.offer.name}"


def usable(catalogue: Catalogue, instance: Instance, chosen: Sequence[str] | None) -> list[Priced]:
    """Return the offers that can serve such an instance, in the order of the files, or of `chosen`.

    `chosen` are ids of offers, or providers. None: those with the GPU of the run, or, where it was measured without
    one, those without and those with the usual one. InvalidRequest where a chosen one cannot serve it; NotFound where
    there is no such.
    """
    if chosen is None:
        gpus = {instance.gpu} if instance.gpu is not None else {None, USUAL_GPU}
        return [found for offer in catalogue.offers() if offer.gpu in gpus for found in _if_usable(offer, instance)]
    return list({priced.offer.id: priced for name in chosen for priced in _named(catalogue, instance, name)}.values())


def named(catalogue: Catalogue, name: str) -> list[Offer]:
    """Return the offers of a provider, or the one with an id. NotFound where there is neither."""
    of_provider = [offer for offer in catalogue.offers() if offer.provider.lower() == name.lower()]
    return of_provider or [catalogue.get(name)]


def _named(catalogue: Catalogue, instance: Instance, name: str) -> list[Priced]:
    found = named(catalogue, name)
    if [offer.id for offer in found] == [name]:
        return [_priced(found[0], instance)]
    return [priced for offer in found for priced in _if_usable(offer, instance)]


def _if_usable(offer: Offer, instance: Instance) -> list[Priced]:
    try:
        return [_priced(offer, instance)]
    except InvalidRequest:
        return []


def _priced(offer: Offer, instance: Instance) -> Priced:
    return Priced(offer, marginal(offer, instance.vcpus, instance.memory_gib, instance.gpu, instance.gpus))


def pairs(priced: Sequence[Priced], *, as_chosen: bool = False) -> list[Pair]:
    """Return what is to be compared: each serverless offer with its own always-on price, and with the cheapest server.

    The server is on demand, of the same GPU, and of the same provider where that has one. Pairs of one provider come
    first, and of those the ones whose servers cost least; with `as_chosen` they come in the order of the offers, each
    with its server first.
    """
    found = []
    for calls in (one for one in priced if one.calls):
        if calls.marginal.always_on is not None:
            found.append(Pair(calls, calls, calls.marginal.always_on))
        servers = [one for one in priced if not one.calls and _alike(calls.offer, one.offer)]
        own = [one for one in servers if one.offer.provider == calls.offer.provider]
        best = min(own or servers, key=lambda one: one.marginal.always_on or 0.0, default=None)
        if best is not None and best.marginal.always_on is not None:
            found.append(Pair(calls, best, best.marginal.always_on))
    if as_chosen:
        order = list(dict.fromkeys(pair.calls.offer.id for pair in found))
        return sorted(found, key=lambda pair: (order.index(pair.calls.offer.id), pair.servers is pair.calls))
    return sorted(found, key=_interest)


def _interest(pair: Pair) -> tuple[bool, bool, float]:
    """Pairs come first whose answer is open: instances always on by the same offer at the same price never pay."""
    own, busiest = pair.servers is pair.calls, max(pair.calls.marginal.busy, pair.calls.marginal.request_second)
    return (
        own and pair.always_on >= busiest,
        pair.calls.offer.provider != pair.servers.offer.provider,
        pair.always_on,
    )


def _alike(calls: Offer, server: Offer) -> bool:
    return calls.gpu == server.gpu and getattr(server, "term", "on-demand") == "on-demand"


def month(
    priced: Priced, use: Consumption, traffics: Sequence[tuple[float, float]] = ((1.0, 1.0),)
) -> tuple[list[float], list[str]]:  # fmt: skip
    """Return the bills in USD for months with so many times such a use, and its requests, and what the first assumes.

    None, and why, where it cannot be billed.
    """
    try:
        of_period = bill(priced.offer, use)
    except InvalidRequest as error:
        return [], [error.message]
    found = [monthly(of_period, use.period_seconds, *traffic) for traffic in traffics]
    return [one.usd for one in found if one.usd is not None], list(found[0].notes)


def price_lists(priced: Sequence[Priced], tokens: Sequence[TokenOffer], today: dt.date) -> list[PriceList]:
    """Return how old the prices are that were used, provider by provider."""
    offers: dict[str, list[Offer]] = {}
    for one in priced:
        offers.setdefault(one.offer.provider, []).append(one.offer)
    found = [
        _price_list(name, [one.oldest for one in of], today, any(one.mark != READ for one in of))
        for name, of in offers.items()
    ]
    sources: dict[str, list[TokenOffer]] = {}
    for token in tokens:
        sources.setdefault(f"tokens: {token.source}", []).append(token)
    found += [
        _price_list(name, [one.date for one in of], today, any(one.mark != READ for one in of))
        for name, of in sources.items()
    ]
    return found


def _price_list(name: str, days: Sequence[dt.date | None], today: dt.date, second_hand: bool) -> PriceList:
    oldest = None if None in days else min((day for day in days if day is not None), default=None)
    return PriceList(
        name=name,
        date="undated" if oldest is None else oldest.isoformat(),
        age_days=None if oldest is None else (today - oldest).days,
        second_hand=second_hand,
    )


def tokens(like: str | None, tokens_in: int, tokens_out: int, today: dt.date) -> list[TokenOffer]:
    """Return what so many tokens cost from those who sell them; nothing where there were none, or nobody sells such."""
    if not tokens_in and not tokens_out:
        return []
    try:
        return buy_tokens(like or USUAL_TOKENS, tokens_in, tokens_out, today=today)
    except NotFound:
        if like is not None:
            raise
        return []
