"""The four limits, decided from times alone."""

from __future__ import annotations

import pytest

from quickthaw.types import Limits
from quickthaw_platform.worker.limits import Progress, deadline, verdict

LIMITS = Limits(start=1, first_token=10, between_tokens=5, total=60)
SILENT = Progress(begun=100.0, total_deadline=160.0)


def after(output: float) -> Progress:
    """Return the progress when something was put out last at `output`."""
    return Progress(SILENT.begun, SILENT.total_deadline, last_output=output)


@pytest.mark.parametrize(
    ("progress", "now", "code"),
    [
        (SILENT, 109.9, None),  # the first output may still come
        (SILENT, 110.0, "first_token_timeout"),
        (after(109.0), 113.9, None),  # after it the clock between outputs runs
        (after(109.0), 114.0, "token_timeout"),
        (after(158.0), 160.0, "total_timeout"),  # however lively it is
        (SILENT, 200.0, "total_timeout"),  # of two limits that ran out, the outer one is told
    ],
)
def test_the_limit_that_ran_out_is_named(progress: Progress, now: float, code: str | None) -> None:
    error = verdict(LIMITS, progress, now)
    assert (error and error.code) == code


@pytest.mark.parametrize(
    ("progress", "expected"),
    [
        (SILENT, 110.0),
        (after(103.0), 108.0),  # nearer than before the output
        (after(158.0), 160.0),
    ],
)
def test_the_deadline_is_when_the_verdict_turns(progress: Progress, expected: float) -> None:
    assert deadline(LIMITS, progress) == expected
    assert verdict(LIMITS, progress, expected - 0.001) is None
    assert verdict(LIMITS, progress, expected) is not None
