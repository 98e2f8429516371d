"""Weights files on a disk as a source: what is in the page cache is copied from there, the rest read directly."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from quickthaw_platform.checkpoints.reading.direct import DirectFile, read_buffered
from quickthaw_platform.checkpoints.reading.residency import resident_in
from quickthaw_platform.errors import CheckpointBroken, LoadCancelled

WARM_SHARE = 0.5
"""From this share of a piece in the page cache on, the rest of it is read by way of the page cache too."""

READS_AT_ONCE = 2
"""More do not fill a disk better; the other threads of a load verify meanwhile."""


class DiskSource:
    """Implements `ByteSource`. With `through_cache` everything is read by way of the page cache, to be found there."""

    name = "disk"

    def __init__(self, paths: Sequence[Path], *, through_cache: bool = False) -> None:
        """Raises CheckpointBroken, naming the file, where one cannot be opened."""
        self._paths = tuple(paths)
        self._through_cache = through_cache
        self._turns = threading.Semaphore(READS_AT_ONCE)
        self._files: list[DirectFile] = []
        for path in paths:
            try:
                self._files.append(DirectFile(path))
            except OSError as error:
                self.close()
                raise CheckpointBroken(f"{path} cannot be read: {error.strerror}") from error

    def read(self, file: int, begin: int, into: memoryview, stop: Callable[[], bool]) -> None:
        """Fill `into` from `begin` on."""
        if stop():
            raise LoadCancelled(f"reading {self._paths[file]} was stopped")
        opened = self._files[file]
        try:
            warm = self._through_cache or self._is_warm(opened, begin, len(into))
            got = read_buffered(opened.handle, into, begin) if warm else self._read_cold(opened, into, begin)
        except OSError as error:
            raise CheckpointBroken(f"{self._paths[file]} cannot be read: {error.strerror}") from error
        if got != len(into):
            raise CheckpointBroken(f"{self._paths[file]} is cut off: it ends at byte {begin + got:,}")

    def close(self) -> None:
        """Close the files."""
        for file in self._files:
            file.close()

    def _read_cold(self, opened: DirectFile, into: memoryview, begin: int) -> int:
        with self._turns:
            return opened.read(into, begin)

    @staticmethod
    def _is_warm(file: DirectFile, begin: int, size: int) -> bool:
        return not file.direct or resident_in(file.handle, begin, size) >= WARM_SHARE * size
