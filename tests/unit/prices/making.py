"""Offers and uses for tests, written as a price file has them. The figures are made up."""

from __future__ import annotations

from typing import Any

from quickthaw_platform.prices.offer import KINDS, Offer, OwnMachine, ServerlessOffer, ServerOffer

SOURCE: dict[str, Any] = {"source": "made up", "date": "undated", "mark": "not verified"}


def figure(value: float | None, unit: str) -> dict[str, Any]:
    return {"value": value, "unit": unit, **SOURCE}


def truth(value: bool | None) -> dict[str, Any]:
    return {"value": value, **SOURCE}


def _offer(kind: str, fields: dict[str, Any]) -> Offer:
    return KINDS[kind].model_validate({"id": "made", "name": "Made", "provider": "us", "kind": kind, **fields})


def serverless(**fields: Any) -> ServerlessOffer:
    """Return an offer that bills instances at 1 USD a second, starts included, unless `fields` say otherwise."""
    plain = {"billed": "instance", "prices": {"instance": figure(1, "USD/s")}, "setup_billed": truth(True)}
    found = _offer("serverless", plain | fields)
    assert isinstance(found, ServerlessOffer)
    return found


def server(**fields: Any) -> ServerOffer:
    """Return a server at 3.60 USD an hour with 8 vCPU and 32 GiB, unless `fields` say otherwise."""
    machine = {"vcpus": 8, "memory_gib": 32, **SOURCE}
    found = _offer("server", {"price": figure(3.6, "USD/h"), "machine": machine} | fields)
    assert isinstance(found, ServerOffer)
    return found


def own_machine(**fields: Any) -> OwnMachine:
    """Return a machine for 8,760 USD over one year (1 USD an hour), 1 kW at 0.20 USD a kWh, always ready."""
    plain = {
        "machine": {"vcpus": 8, "memory_gib": 32, **SOURCE},
        "capital": figure(8760, "USD"),
        "life": figure(1, "years"),
        "power": figure(1000, "W"),
        "energy": figure(0.2, "USD/kWh"),
        "utilisation": figure(1, "share"),
    }
    found = _offer("own-machine", plain | fields)
    assert isinstance(found, OwnMachine)
    return found
