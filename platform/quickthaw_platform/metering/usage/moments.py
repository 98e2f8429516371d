"""Moments as people write them: a Unix time, a date, or how long ago. Pure."""

from __future__ import annotations

import datetime as dt
import math

from quickthaw.errors import InvalidRequest
from quickthaw.types import parse_seconds


def parse_moment(name: str, text: str | None, now: float) -> float | None:
    """Read a moment as Unix seconds; None stays None. InvalidRequest names the parameter and what it can be.

    `1764288000` is a Unix time; `2026-11-28` and `2026-11-28T06:00:00+02:00` are ISO 8601, in UTC where they name no
    other; `90s`, `24h`, `7d` lie so long before `now`.
    """
    if text is None:
        return None
    try:
        unix = float(text)
    except ValueError:
        return _written(name, text, now)
    if not math.isfinite(unix):
        raise _wrong(name, text)
    return unix


def _written(name: str, text: str, now: float) -> float:
    try:
        return now - parse_seconds(text)
    except ValueError:
        pass
    try:
        found = dt.datetime.fromisoformat(text)
        return (found if found.tzinfo else found.replace(tzinfo=dt.UTC)).timestamp()
    except (ValueError, OverflowError) as error:
        raise _wrong(name, text) from error


def _wrong(name: str, text: str) -> InvalidRequest:
    return InvalidRequest(
        f'{name}: {text!r} is no moment; write Unix seconds, a date such as "2026-11-28T06:00:00Z", or how long ago, '
        'such as "24h"',
        param=name,
    )
