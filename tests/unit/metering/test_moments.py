"""Moments as people write them."""

from __future__ import annotations

import pytest

from quickthaw.errors import InvalidRequest
from quickthaw_platform.metering.usage.moments import parse_moment

NOW = 1_764_288_000.0  # 2025-11-28T00:00:00Z


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        (None, None),
        ("1764288000.5", NOW + 0.5),
        ("24h", NOW - 86_400),
        ("90s", NOW - 90),
        ("2025-11-28", NOW),  # UTC where nothing else is said
        ("2025-11-28T00:00:00Z", NOW),
        ("2025-11-28T02:00:00+02:00", NOW),
    ],
)
def test_each_way_of_writing_is_read(text: str | None, moment: float | None) -> None:
    assert parse_moment("since", text, NOW) == moment


@pytest.mark.parametrize("text", ["", "soon", "24 hours ago", "nan", "inf", "2025-13-01"])
def test_what_is_no_moment_is_refused_with_what_can_be(text: str) -> None:
    with pytest.raises(InvalidRequest, match=r'since: .* is no moment; write Unix seconds, a date such as .* "24h"'):
        parse_moment("since", text, NOW)
