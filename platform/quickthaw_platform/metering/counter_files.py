"""The files in which prometheus_client keeps what a process counts, safe on a disk that runs full.

The package maps them into memory and has the disk give room when something is first written to a page. Where that is
full, the kernel kills whoever writes (SIGBUS): a gateway died of it. Here the room is taken before. Where there is
none, the process counts in memory, which nobody reads, and lives.
"""

from __future__ import annotations

import errno
import mmap
import os
from pathlib import Path

from prometheus_client import values
from prometheus_client.mmap_dict import MmapedDict

INITIAL_BYTES = 1 << 16
ENTRY_BYTES = 64
"""More than an entry takes beside its key."""

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class CounterFile(MmapedDict):
    """A dict of doubles in a file whose room is taken."""

    def __init__(self, filename: str, read_mode: bool = False) -> None:
        path = filename if read_mode or _allocated(Path(filename)) else f"/proc/self/fd/{_memory()}"
        super().__init__(path, read_mode)  # type: ignore[no-untyped-call]

    def _init_value(self, key: str) -> None:
        if self._used + len(key.encode()) + ENTRY_BYTES > self._capacity and not _take(
            self._f.fileno(), 2 * self._capacity
        ):
            self._leave_disk()
        super()._init_value(key)  # type: ignore[no-untyped-call]

    def _leave_disk(self) -> None:
        file = os.fdopen(_memory(), "r+b")
        file.write(self._m[: self._used])
        file.truncate(self._capacity)
        self._m.close()
        self._f.close()
        self._f, self._m = file, mmap.mmap(file.fileno(), self._capacity)


def install() -> None:
    """Have every counter that is made from now on be kept so."""
    values.MmapedDict = CounterFile  # type: ignore[attr-defined]


def _allocated(path: Path) -> bool:
    """Make the file, or find it, with its room; whether there was some. An empty file would break who reads it."""
    try:
        with path.open("ab") as file:
            if _take(file.fileno(), max(INITIAL_BYTES, path.stat().st_size)):
                return True
            if not path.stat().st_size:
                path.unlink()
    except OSError as error:
        if error.errno not in _FULL:
            raise
    return False


def _take(descriptor: int, size: int) -> bool:
    """Have the disk give a file so many bytes; whether it has them. One that cannot be asked is believed to."""
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError as error:
        return error.errno not in _FULL
    return True


def _memory() -> int:
    return os.memfd_create("quickthaw-counters")
