"""When an engine is taken to be broken, and what hears of that (`contracts.TellsOfFailure`)."""

from __future__ import annotations

import threading
from collections.abc import Callable

from quickthaw.errors import FunctionFailed, QuickthawError

OnFailed = Callable[[QuickthawError], None]

MOST_FAILURES = 3
"""Computations that fail one after the other, each for other requests: what is asked for is not the cause then."""


def ignore_failure(error: QuickthawError) -> None:
    """Do nothing: the engine's requests are told of it."""


class Failures:
    """Counts the computations that failed since one did not. Any thread may call."""

    def __init__(self) -> None:
        self._count = 0
        self._changing = threading.Lock()

    def note(self, error: Exception | None) -> FunctionFailed | None:
        """Note a computation that failed with `error`, or None: one that did not. Return why the engine is broken, if
        it is.
        """
        with self._changing:
            self._count = 0 if error is None else self._count + 1
            if error is None or self._count < MOST_FAILURES:
                return None
        return FunctionFailed(
            f"the engine failed: {MOST_FAILURES} computations in a row, the last with {type(error).__name__}: {error}"
        )
