"""What hears of an engine that can compute nothing any more (`contracts.TellsOfFailure`)."""

from __future__ import annotations

from collections.abc import Callable

from quickthaw.errors import QuickthawError

OnFailed = Callable[[QuickthawError], None]


def ignore_failure(error: QuickthawError) -> None:
    """Do nothing: the engine's requests are told of it."""
