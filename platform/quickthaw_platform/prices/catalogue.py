"""All offers there are: those that come with the platform, and the user's own, which take the place of others."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import model_validator

from quickthaw_platform.errors import NotFound
from quickthaw_platform.prices.figure import Figure, Model, worst
from quickthaw_platform.prices.offer import Offer, ServerOffer
from quickthaw_platform.prices.reading import (
    DATA,
    RATES_FILE,
    TOKENS_FILE,
    Placed,
    PricesInvalid,
    Problem,
    duplicates,
    read_model,
    read_offers,
    read_text,
)
from quickthaw_platform.prices.token_file import TokenFile
from quickthaw_platform.prices.units import CURRENCIES


class OfferNotFound(NotFound):
    """No price file has an offer of this id."""

    default_code = "offer_not_found"
    noun = "offer"


class Rates(Model):
    """What one of each other currency is in US dollars."""

    rates: dict[str, Figure]

    @model_validator(mode="after")
    def _in_dollars(self) -> Rates:
        for currency, figure in self.rates.items():
            if currency not in CURRENCIES:
                raise ValueError(f"rates.{currency}: the known currencies are {', '.join(CURRENCIES)}")
            if figure.unit != "USD":
                raise ValueError(f"rates.{currency} must have the unit USD: dollars for one {currency}")
        return self


@dataclass(frozen=True)
class Catalogue:
    """Offers by id, in the order of the files."""

    placed: Mapping[str, Placed]
    rates: Mapping[str, Figure]

    def offers(self) -> list[Offer]:
        """Return all offers, also those whose prices nobody knows (see `Offer.billable`)."""
        return [placed.offer for placed in self.placed.values()]

    def get(self, id: str) -> Offer:
        """Return one offer; OfferNotFound names the near ones."""
        return self.where(id).offer

    def where(self, id: str) -> Placed:
        """Return one offer with the file and line that it comes from."""
        if id not in self.placed:
            raise OfferNotFound.named(id, self.placed, "`quickthaw prices ls` lists all.")
        return self.placed[id]

    def dates(self) -> dict[str, tuple[dt.date, dt.date] | None]:
        """Return for each provider the oldest and the newest date of its prices; None where none has a date."""
        days: dict[str, list[dt.date]] = {}
        for offer in self.offers():
            known = days.setdefault(offer.provider, [])
            known += [figure.day for _, figure in offer.needed() if figure.day is not None]
        return {provider: (min(known), max(known)) if known else None for provider, known in days.items()}


def load(user_dir: Path | None = None) -> Catalogue:
    """Read the built-in offers and those in the `*.toml` of `user_dir`, if that exists.

    An offer of the user's with the id of a built-in one takes its place, and so do the rates in the user's
    `rates.toml`. PricesInvalid has every fault in every file, with its line.
    """
    built_in = _read(
        sorted((f.name, f.read_text(encoding="utf-8")) for f in DATA.iterdir() if f.name.endswith(".toml"))
    )
    files = sorted(user_dir.glob("*.toml")) if user_dir is not None and user_dir.is_dir() else []
    own = _read([(str(file), read_text(file)) for file in files])
    rates = built_in.rates | own.rates
    placed = {placed.offer.id: placed for placed in (*built_in.offers, *own.offers)}
    return Catalogue(_resolved(placed, rates), rates)


def check_files(files: Iterable[Path]) -> int:
    """Read these files as `load` would; return how many offers they have. PricesInvalid has what is wrong."""
    texts = [(str(file), read_text(file)) for file in files]
    found = _read(texts)
    _resolved({p.offer.id: p for p in (*load().placed.values(), *found.offers)}, found.rates)
    return len(found.offers)


@dataclass(frozen=True)
class _Found:
    offers: list[Placed]
    rates: dict[str, Figure]


def _read(texts: Sequence[tuple[str, str]]) -> _Found:
    found = _Found([], {})
    problems: list[Problem] = []
    for file, text in texts:
        try:
            name = Path(file).name
            if name == RATES_FILE:
                found.rates.update(read_model(Rates, text, file).rates)
            elif name == TOKENS_FILE:
                read_model(TokenFile, text, file)
            else:
                found.offers.extend(read_offers(text, file))
        except PricesInvalid as error:
            problems += error.problems
    problems += [] if problems else duplicates(found.offers)
    if problems:
        raise PricesInvalid(problems)
    return found


def _resolved(placed: Mapping[str, Placed], rates: Mapping[str, Figure]) -> dict[str, Placed]:
    problems: list[Problem] = []
    resolved = {}
    for id, one in placed.items():
        offer = one.offer
        if isinstance(offer, ServerOffer) and offer.over is not None:
            base = placed.get(offer.over.offer)
            if base is None or not isinstance(base.offer, ServerOffer) or base.offer.price is None:
                message = f"offer {id}: over.offer: {offer.over.offer!r} is no server offer with a price of its own"
                problems.append(Problem(one.file, one.line, message))
                continue
            if base.offer.currency != offer.currency:
                message = f"offer {id}: is in {offer.currency}, and {base.offer.id} in {base.offer.currency}"
                problems.append(Problem(one.file, one.line, message))
                continue
            offer = _surcharged(offer, base.offer)
        rate = None if offer.currency == "USD" else rates.get(offer.currency)
        resolved[id] = Placed(offer.model_copy(update={"rate": rate}), one.file, one.line)
    if problems:
        raise PricesInvalid(problems)
    return resolved


def _surcharged(offer: ServerOffer, base: ServerOffer) -> ServerOffer:
    """Return the offer with the price that its base and the percent give; unknown where one of them is."""
    price, over = base.price, offer.over
    assert price is not None
    assert over is not None
    percent = over.percent
    known = price.known and percent.known
    days = [figure.day for figure in (price, percent)]
    combined = Figure(
        value=price.amount * (1 + percent.amount / 100) if known else None,
        unit=price.unit,
        source=f"{base.id} ({price.source}) + {percent.value}% ({percent.source})",
        date="undated" if None in days else min(day for day in days if day is not None),
        mark=worst({price.mark, percent.mark}),
    )
    return offer.model_copy(update={"price": combined})
