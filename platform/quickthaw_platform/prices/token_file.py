"""`tokens.toml`: prices per token that no package has, and which public models stand for one of a user's own."""

from __future__ import annotations

import datetime as dt

from pydantic import Field

from quickthaw.types import Name
from quickthaw_platform.prices.figure import Model, Text, TokenPrice


class Likeness(Model):
    """Public models, as PROVIDER/MODEL, that come nearest to a size of model."""

    models: tuple[Text, ...] = Field(min_length=1)


class TokenPrices(Model):
    """What one provider asks for tokens of one model, in USD. Without `cached`, cached tokens cost as others."""

    id: Name
    like: Name
    provider: Text
    model: Text
    input: TokenPrice
    output: TokenPrice
    cached: TokenPrice | None = None


class TokenFile(Model):
    """The whole file. `releases` dates the releases of the package genai-prices."""

    releases: dict[Text, dt.date] = Field(default_factory=dict)
    like: dict[Name, Likeness] = Field(default_factory=dict)
    offers: tuple[TokenPrices, ...] = ()

    def with_own(self, own: TokenFile) -> TokenFile:
        """Return both together; a likeness or an offer of the user's takes the place of one with its name."""
        offers = {offer.id: offer for offer in (*self.offers, *own.offers)}
        return TokenFile(
            releases=self.releases | own.releases, like=self.like | own.like, offers=tuple(offers.values())
        )
