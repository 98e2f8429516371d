from __future__ import annotations

import pytest

from quickthaw_platform.migration.plan import CLOSE_TOKENS, MAX_ROUNDS, takes_over


@pytest.mark.parametrize(
    ("tokens_behind", "rounds", "expected"),
    [
        (0, 1, True),  # the source says nothing
        (CLOSE_TOKENS, 1, True),  # close enough: another round would not bring it closer
        (CLOSE_TOKENS + 1, 1, False),
        (10_000, MAX_ROUNDS - 1, False),
        (10_000, MAX_ROUNDS, True),  # a source that is never caught up with
    ],
)
def test_it_takes_over_when_close_or_when_coming_closer_is_hopeless(
    tokens_behind: int, rounds: int, expected: bool
) -> None:
    assert takes_over(tokens_behind, rounds) is expected
