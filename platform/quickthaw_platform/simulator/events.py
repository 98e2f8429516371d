"""Simulated time: what happens when, in order."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any


class Events:
    """A heap of calls to make. What is due at one moment happens in the order in which it was entered."""

    def __init__(self) -> None:
        self.now = 0.0
        self._heap: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._entered = 0

    def at(self, time: float, action: Callable[..., None], *arguments: Any) -> None:
        """Have `action(*arguments)` called at a time."""
        self._entered += 1
        heapq.heappush(self._heap, (time, self._entered, action, arguments))

    def run_until(self, end: float) -> None:
        """Let everything happen that is due by then, and make it now."""
        heap = self._heap
        while heap and heap[0][0] <= end:
            self.now, _, action, arguments = heapq.heappop(heap)
            action(*arguments)
        self.now = end

    def step(self, end: float) -> bool:
        """Let the next thing happen; False: there is none until then."""
        if not self._heap or self._heap[0][0] > end:
            return False
        self.now, _, action, arguments = heapq.heappop(self._heap)
        action(*arguments)
        return True
