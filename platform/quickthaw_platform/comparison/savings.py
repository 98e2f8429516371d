"""What compression of prompts has saved, in money: the tokens left out at the prices of those who sell tokens. Pure.

A backend of one's own has no price per token: there, what is saved is in its device-seconds already.
"""

from __future__ import annotations

from collections.abc import Sequence

from quickthaw_platform.comparison.estimates import Estimate
from quickthaw_platform.comparison.report import Row, Saving
from quickthaw_platform.prices.figure import READ
from quickthaw_platform.prices.tokens import TokenOffer

MILLION = 1e6


def savings(rows: Sequence[Row], offers: Sequence[TokenOffer]) -> list[Saving]:
    """Return what each backend's compression has saved by each offer; nothing where it left nothing out."""
    return [
        _saving(row, offer)
        for row in rows
        if row.usage is not None and row.usage.tokens_saved and row.requests
        for offer in offers
    ]


def _saving(row: Row, offer: TokenOffer) -> Saving:
    assert row.usage is not None
    usd = row.usage.tokens_saved * offer.usd_in / MILLION
    return Saving(
        backend=row.backend,
        offer=offer.id,
        title=f"{offer.provider}: {offer.model}",
        tokens_in=row.usage.tokens_in,
        tokens_saved=row.usage.tokens_saved,
        run_usd=usd,
        per_thousand_requests=Estimate(value=1000 * usd / row.requests, count=row.requests),
        second_hand=offer.mark != READ,
        date="" if offer.date is None else offer.date.isoformat(),
    )
