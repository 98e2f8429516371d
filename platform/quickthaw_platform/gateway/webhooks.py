"""Webhooks: how they are signed and when they are tried again. Pure."""

from __future__ import annotations

import hmac
from hashlib import sha256

INVOCATION_HEADER = "x-invocation-id"
SIGNATURE_HEADER = "x-quickthaw-signature"
FIRST_RETRY_SECONDS = 2.0
RETRY_FACTOR = 4.0
LONGEST_RETRY_SECONDS = 600.0


def signature(secret: str, timestamp: int, body: bytes) -> str:
    """Return `t=<Unix seconds>,v1=<hex>`: the HMAC-SHA256 under `secret` of the timestamp, a dot and the body.

    The receiver computes the same over what it got, compares in constant time, and refuses an old timestamp.
    """
    digest = hmac.new(secret.encode(), f"{timestamp}.".encode() + body, sha256).hexdigest()
    return f"t={timestamp},v1={digest}"


def retry_seconds(attempt: int) -> float:
    """Return how long to wait after the `attempt`-th failed delivery: 2, 8, 32, 128, 512, 600, …"""
    return min(FIRST_RETRY_SECONDS * RETRY_FACTOR ** (attempt - 1), LONGEST_RETRY_SECONDS)
