"""Calls about API keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from quickthaw.calls.builders import delete, listing, request, send
from quickthaw.protocol import Call
from quickthaw.resources import KeyCreated, KeyInfo, KeyRequest, Quotas, Scope


def keys() -> Call[list[KeyInfo]]:
    """List the API keys."""
    return listing(KeyInfo, "keys")


def create_key(
    name: str, scopes: Sequence[Scope | str], quotas: Quotas | Mapping[str, Any] | None, weight: float
) -> Call[KeyCreated]:
    """Make an API key."""
    body = request(KeyRequest, name=name, scopes=tuple(scopes), quotas=quotas or Quotas(), weight=weight)
    return send("POST", KeyCreated, body, "keys", repeatable=False)


def revoke_key(id: str) -> Call[None]:
    """Revoke an API key at once."""
    return delete("keys", id)
