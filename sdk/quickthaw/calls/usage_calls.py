"""Calls about what was used."""

from __future__ import annotations

from collections.abc import Sequence

from quickthaw.calls.builders import listing
from quickthaw.protocol import Call
from quickthaw.resources import FocusRow, UsageRow

Moment = float | str | None


def usage(since: Moment, until: Moment, by: Sequence[str], function: str | None) -> Call[list[UsageRow]]:
    """Add up what was used, a row for each of what `by` tells apart."""
    query = _span(since, until, function) | {"by": ",".join(by)}
    return listing(UsageRow, "usage", query=query)


def focus(
    since: Moment, until: Moment, function: str | None, price: str | None, hourly_usd: float | None, vcpus: float | None
) -> Call[list[FocusRow]]:
    """Price what was used, as rows of a FOCUS file."""
    query = _span(since, until, function)
    given = {"price": price, "hourly_usd": hourly_usd, "vcpus": vcpus}
    query |= {name: str(value) for name, value in given.items() if value is not None}
    return listing(FocusRow, "usage", "focus", query=query)


def _span(since: Moment, until: Moment, function: str | None) -> dict[str, str]:
    given = {"since": since, "until": until, "function": function}
    return {name: str(value) for name, value in given.items() if value is not None}
