"""Where a chunk that is wrong on the disk is fetched again: the remote tier, opened when it is first needed."""

from __future__ import annotations

import threading
from collections.abc import Callable

from quickthaw_platform.checkpoints.reading.source import ByteSource


class Backup:
    """Implements `ByteSource`."""

    name = "remote"

    def __init__(self, open_source: Callable[[], ByteSource]) -> None:
        self._open = open_source
        self._lock = threading.Lock()
        self._source: ByteSource | None = None

    def read(self, file: int, begin: int, into: memoryview, stop: Callable[[], bool]) -> None:
        """Fill `into` from the source behind."""
        with self._lock:
            source = self._source = self._source or self._open()
        source.read(file, begin, into, stop)

    def close(self) -> None:
        """Close the source, if one was opened."""
        if self._source is not None:
            self._source.close()
