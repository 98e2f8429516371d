"""Times as traces write them."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

_DIGITS = "0123456789"


def timestamp(text: str) -> float:
    """Return Unix seconds of an ISO time; without a zone it is UTC. ValueError where it is none.

    The part behind the second may be missing, or have seven digits as in the Azure traces (datetime takes six).
    """
    whole, _, rest = text.strip().partition(".")
    zone = rest.lstrip(_DIGITS)
    part = rest[: len(rest) - len(zone)]
    return _seconds(whole + zone) + float(f"0.{part or 0}")


def seconds(text: str) -> float:
    """Return seconds written as a number, or as an ISO time."""
    try:
        return float(text)
    except ValueError:
        return timestamp(text)


@lru_cache(4096)  # rows next to each other share their second
def _seconds(text: str) -> float:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a time") from None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
