"""Tokens bought from others: what a use would cost at providers that sell public models by the token.

The prices are those of the package genai-prices, as it was installed (nothing is fetched), and of `tokens.toml`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from quickthaw_platform.errors import InvalidRequest, NotFound
from quickthaw_platform.prices.bill import Bill, Line
from quickthaw_platform.prices.figure import SECOND_HAND, Mark
from quickthaw_platform.prices.reading import DATA, TOKENS_FILE, read_model, read_text
from quickthaw_platform.prices.token_file import TokenFile, TokenPrices
from quickthaw_platform.prices.units import Meter

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, Provider

PACKAGE = "genai-prices"
_MILLION = 1e6


class ModelNotFound(NotFound):
    """No provider sells tokens of such a model."""

    default_code = "priced_model_not_found"
    noun = "model sold by the token"


@dataclass(frozen=True)
class TokenPrice:
    """What tokens of one model cost at one provider, in USD per million; `usd_cached`: of input tokens from a cache."""

    provider: str
    model: str
    usd_in: float
    usd_out: float
    usd_cached: float
    source: str
    date: dt.date | None
    mark: Mark
    notes: tuple[str, ...]

    @property
    def id(self) -> str:
        """PROVIDER/MODEL."""
        return f"{self.provider}/{self.model}"

    def billed(self, tokens_in: float, tokens_out: float, tokens_cached: float) -> TokenOffer:
        """Return this price with the bill of so many tokens; `tokens_in` includes `tokens_cached`."""
        lines = [
            Line("tokens in", Meter.TOKEN, tokens_in - tokens_cached, self.usd_in / _MILLION),
            Line("tokens in, cached", Meter.TOKEN, tokens_cached, self.usd_cached / _MILLION),
            Line("tokens out", Meter.TOKEN, tokens_out, self.usd_out / _MILLION),
        ]
        bill = Bill(self.id, "USD", tuple(line for line in lines if line.quantity), self.notes)
        return TokenOffer(**vars(self), bill=bill)


@dataclass(frozen=True)
class TokenOffer(TokenPrice):
    """A price, and what a use costs by it."""

    bill: Bill


def buy_tokens(
    model: str,
    tokens_in: float,
    tokens_out: float,
    tokens_cached: float = 0,
    today: dt.date | None = None,
    user_dir: Path | None = None,
) -> list[TokenOffer]:
    """Return what these tokens cost at each provider of the model, the cheapest first.

    `model` is a name under [like] of a `tokens.toml` (`llama-3.1-8b`) or PROVIDER/MODEL as genai-prices calls them.
    `tokens_in` includes `tokens_cached`. Prices are those in force `today`. ModelNotFound lists the near names.
    """
    if not 0 <= tokens_cached <= tokens_in or tokens_out < 0:
        counts = f"{tokens_in} tokens in, {tokens_cached} of them cached, and {tokens_out} out"
        raise InvalidRequest(f"{counts}: none may be negative, and no more can be cached than came in")
    day = today or dt.date.today()
    known = token_file(user_dir)
    prices = [_packaged(reference, known, day) for reference in _references(model, known)]
    prices += [_listed(offer) for offer in known.offers if model in (offer.like, offer.id)]
    return sorted((price.billed(tokens_in, tokens_out, tokens_cached) for price in prices), key=lambda o: o.bill.total)


def likenesses(user_dir: Path | None = None) -> list[str]:
    """Return the names that stand for several public models."""
    return sorted(token_file(user_dir).like)


def token_file(user_dir: Path | None = None) -> TokenFile:
    """Read the built-in `tokens.toml`, and the user's over it; PricesInvalid says what is wrong in which line."""
    built_in = read_model(TokenFile, (DATA / TOKENS_FILE).read_text(encoding="utf-8"), TOKENS_FILE)
    own = None if user_dir is None else user_dir / TOKENS_FILE
    if own is None or not own.is_file():
        return built_in
    return built_in.with_own(read_model(TokenFile, read_text(own), str(own)))


def _references(model: str, known: TokenFile) -> Iterable[str]:
    if model in known.like:
        return known.like[model].models
    if "/" in model:
        return (model,)
    if any(model in (offer.like, offer.id) for offer in known.offers):
        return ()
    hint = "Or write PROVIDER/MODEL, as genai-prices calls them."
    raise ModelNotFound.named(model, [*known.like, *(offer.id for offer in known.offers)], hint)


def _packaged(reference: str, known: TokenFile, day: dt.date) -> TokenPrice:
    provider, model = _found(reference)
    prices = model.get_prices(dt.datetime.combine(day, dt.time(12), tzinfo=dt.UTC))
    notes: list[str] = [model.price_comments] if model.price_comments else []
    usd_in = _mtok(getattr(prices, "input_mtok", None), notes)
    usd_out = _mtok(getattr(prices, "output_mtok", None), notes)
    cached = getattr(prices, "cache_read_mtok", None)
    usd_cached = usd_in if cached is None else _mtok(cached, notes)
    release = version(PACKAGE)
    source = f"{PACKAGE} {release}"
    day_of = known.releases.get(release)
    return TokenPrice(provider.id, model.id, usd_in, usd_out, usd_cached, source, day_of, SECOND_HAND, tuple(notes))


def _found(reference: str) -> tuple[Provider, ModelInfo]:
    from genai_prices.data_snapshot import get_snapshot  # a megabyte of Python, only where tokens are priced

    name, _, wanted = reference.partition("/")
    providers = {provider.id: provider for provider in get_snapshot().providers}
    if name not in providers:
        raise ModelNotFound.named(name, providers, f"{reference!r} must begin with one of {PACKAGE}'s providers.")
    provider = providers[name]
    by_id = {model.id: model for model in provider.models}
    model = by_id.get(wanted) or provider.find_model(wanted, all_providers=list(providers.values()))
    if model is None:
        raise ModelNotFound.named(wanted, by_id, f"These are sold by {name}.")
    return provider, model


def _mtok(price: object, notes: list[str]) -> float:
    if price is None:
        return 0.0
    if isinstance(price, Decimal):
        return float(price)
    notes.append("prices go by tiers of the prompt's length; those of the lowest tier are used")
    return float(getattr(price, "base"))  # noqa: B009  # a TieredPrices, whose class the package keeps to itself


def _listed(offer: TokenPrices) -> TokenPrice:
    figures = (offer.input, offer.output, offer.cached or offer.input)
    usd_in, usd_out, usd_cached = (figure.per_unit * _MILLION for figure in figures)
    told = offer.input
    return TokenPrice(offer.provider, offer.model, usd_in, usd_out, usd_cached, told.source, told.day, told.mark, ())
