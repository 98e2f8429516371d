"""When a call is sent again, and after how long. Decides only; the clients sleep."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from quickthaw.errors import InvalidRequest, TimedOut

RETRIED_STATUS = frozenset({429, 502, 503})
"""Answers that a later attempt can change. 502 comes from proxies while a gateway restarts."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Waits between attempts: they double from `first_seconds` up to `longest_seconds`, half of each drawn at random.

    The defaults give a gateway about half a minute to come back. `attempts=1` never tries again.
    """

    attempts: int = 20
    first_seconds: float = 0.25
    longest_seconds: float = 2.0
    longest_retry_after_seconds: float = 60.0

    def __post_init__(self) -> None:
        """Raise InvalidRequest for what no wait can be."""
        if self.attempts < 1:
            raise InvalidRequest(f"attempts must be at least 1, not {self.attempts}", param="attempts")
        for name in ("first_seconds", "longest_seconds", "longest_retry_after_seconds"):
            if not 0 <= getattr(self, name) < math.inf:
                raise InvalidRequest(f"{name} must be at least 0, and a number, not {getattr(self, name)}", param=name)

    def seconds(self, failures: int, draw: float, retry_after: float | None = None) -> float | None:
        """Return how long to wait after the `failures`-th failure in a row; None: give up.

        `draw` is a random number from 0 to 1. A Retry-After is obeyed; one that is too long means to give up.
        """
        if failures >= self.attempts:
            return None
        if retry_after is not None:
            return retry_after if retry_after <= self.longest_retry_after_seconds else None
        full = min(self.first_seconds * 2.0 ** (failures - 1), self.longest_seconds)
        return full * (0.5 + draw / 2)


ONCE = Backoff(attempts=1)


class Deadline:
    """The end of a caller's patience; None: none. Raises TimedOut with the code `client_timeout`."""

    def __init__(self, seconds: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seconds = seconds
        self._end = None if seconds is None else clock() + seconds

    def capped(self, seconds: float) -> float:
        """Return `seconds`, or what is left where that is less; raises when nothing is left."""
        if self._end is None:
            return seconds
        left = self._end - self._clock()
        if left <= 0:
            raise TimedOut(
                f"no result within {self._seconds:g} s; the invocation goes on, ask again or cancel it",
                code="client_timeout",
            )
        return min(seconds, left)
