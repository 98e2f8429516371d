"""The limits of a running invocation. Pure: all times are seconds on one monotonic clock, passed in."""

from __future__ import annotations

from dataclasses import dataclass

from quickthaw.errors import TimedOut
from quickthaw.types import Limits


@dataclass(slots=True)
class Progress:
    """How far an invocation has come: when an instance took it, when it last put something out."""

    begun: float
    total_deadline: float
    last_output: float | None = None  # set anew with each output


def deadline(limits: Limits, progress: Progress) -> float:
    """Return when the nearest limit runs out, if nothing is put out before."""
    return min(progress.total_deadline, _output_deadline(limits, progress))


def verdict(limits: Limits, progress: Progress, now: float) -> TimedOut | None:
    """Return the error of the limit that has run out at `now`, or None."""
    if now >= progress.total_deadline:
        return TimedOut(f"the invocation took longer than {limits.total:g} s (limit total)", code="total_timeout")
    if now < _output_deadline(limits, progress):
        return None
    if progress.last_output is None:
        message = f"nothing was put out within {limits.first_token:g} s (limit first_token)"
        return TimedOut(message, code="first_token_timeout")
    message = f"nothing more was put out for {limits.between_tokens:g} s (limit between_tokens)"
    return TimedOut(message, code="token_timeout")


def _output_deadline(limits: Limits, progress: Progress) -> float:
    if progress.last_output is None:
        return progress.begun + limits.first_token
    return progress.last_output + limits.between_tokens
