"""Offers as rows for tables and JSON."""

from __future__ import annotations

import datetime as dt
from typing import Any

from quickthaw_platform.prices.bill import Bill
from quickthaw_platform.prices.catalogue import Catalogue
from quickthaw_platform.prices.figure import Figure, Sourced, sourced
from quickthaw_platform.prices.offer import STALE_DAYS, Offer
from quickthaw_platform.prices.tokens import TokenOffer

Row = dict[str, Any]
"""One row, of what JSON can carry."""


def offer_row(offer: Offer, today: dt.date) -> Row:
    """Return an offer in short: its unit prices, how old they are, and how far they can be trusted."""
    return {
        "id": offer.id,
        "kind": offer.kind,
        "provider": offer.provider,
        "gpu": offer.gpu,
        "prices": {name: figure_text(figure) for name, figure in offer.needed()},
        "date": None if offer.oldest is None else offer.oldest.isoformat(),
        "age_days": offer.age_days(today),
        "stale": offer.stale(today),
        "mark": offer.mark,
        "billable": offer.billable,
    }


def token_row(offer: TokenOffer, today: dt.date) -> Row:
    """Return tokens of one model at one provider, as a row like `offer_row`'s."""
    prices = {"in": offer.usd_in, "out": offer.usd_out, "cached": offer.usd_cached}
    return {
        "id": offer.id,
        "kind": "tokens",
        "provider": offer.provider,
        "gpu": None,
        "prices": {name: f"{usd:g} USD/million tokens" for name, usd in prices.items()},
        "date": None if offer.date is None else offer.date.isoformat(),
        "age_days": None if offer.date is None else (today - offer.date).days,
        "stale": offer.date is None or (today - offer.date).days > STALE_DAYS,
        "mark": offer.mark,
        "billable": True,
    }


def fact_rows(offer: Offer) -> list[Row]:
    """Return everything that is known of an offer and where from, fact by fact."""
    return [_fact(name, fact) for name, fact in sourced(offer)]


def _fact(name: str, fact: Sourced) -> Row:
    return {
        "fact": name,
        "value": _value(fact),
        "date": str(fact.date),
        "mark": fact.mark,
        "source": fact.source,
        "note": fact.note,
    }


def _value(fact: Sourced) -> str:
    if isinstance(fact, Figure):
        return figure_text(fact)
    own = fact.model_dump(exclude={"source", "date", "mark", "note"})
    if set(own) == {"value"}:
        return {True: "yes", False: "no", None: "not known"}.get(own["value"], str(own["value"]))
    return ", ".join(f"{name} {'not known' if value is None else f'{value:g}'}" for name, value in own.items())


def figure_text(figure: Figure) -> str:
    """Write a figure with its unit."""
    return f"not known ({figure.unit})" if figure.value is None else f"{plain(figure.value)} {figure.unit}"


def plain(value: float) -> str:
    """Write a number without an exponent and without digits that say nothing."""
    text = f"{value:.12f}".rstrip("0").rstrip(".")
    return text or "0"


def bill_row(bill: Bill) -> Row:
    """Return a bill as JSON has it."""
    lines = [
        {"label": x.label, "quantity": x.quantity, "unit": x.unit, "price": x.price, "amount": x.amount}
        for x in bill.lines
    ]
    totals = {"total": bill.total, "currency": bill.currency, "usd": bill.usd}
    return {"offer": bill.offer, **totals, "lines": lines, "notes": list(bill.notes)}


def where(catalogue: Catalogue, id: str) -> str:
    """Return the file and line of an offer."""
    placed = catalogue.where(id)
    return f"{placed.file}:{placed.line}"
