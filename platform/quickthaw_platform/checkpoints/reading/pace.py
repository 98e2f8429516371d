"""Holding a load to a bandwidth."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Pace:
    """Shared by the threads of a load."""

    def __init__(self, bytes_per_second: float | None) -> None:
        """None: as fast as it goes."""
        self._bytes_per_second = bytes_per_second
        self._lock = threading.Lock()
        self._next = time.monotonic()

    def wait(self, size: int, stop: Callable[[], bool]) -> None:
        """Return when so many more bytes may have come, or `stop` says so."""
        if self._bytes_per_second is None:
            return
        with self._lock:
            self._next = max(self._next, time.monotonic()) + size / self._bytes_per_second
            due = self._next
        while (left := due - time.monotonic()) > 0 and not stop():
            time.sleep(min(left, 0.05))
