"""Times as traces write them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache

_DIGITS = "0123456789"
_OFFSET_AND_NAME = re.compile(r"([+-]\d\d:?\d\d)\s*(?:UTC|GMT|Z)", re.IGNORECASE)  # as Go writes it
_UTC_NAMES = frozenset({"UTC", "GMT", "Z"})


def timestamp(text: str) -> float:
    """Return Unix seconds of an ISO time; without a zone it is UTC. ValueError where it is none.

    The part behind the second may be missing, or have seven digits as in the Azure traces (datetime takes six). The
    zone is an offset, `Z` or one of UTC's names, with a space before it or none.
    """
    whole, _, rest = text.strip().strip("\ufeff").replace(",", ".").partition(".")
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
        found = datetime.fromisoformat(_plain_zone(text))
    except ValueError:
        raise ValueError(f"{text!r} is not a time") from None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def _plain_zone(text: str) -> str:
    """Return a time whose zone is written as an offset, without the names that UTC has."""
    plain = _OFFSET_AND_NAME.sub(r"\1", text)
    name = plain.lstrip("0123456789-:T ").upper()
    return f"{plain[: -len(name)].rstrip()}+00:00" if name in _UTC_NAMES else plain
