"""Reading and writing past the page cache (O_DIRECT); by way of it where that is refused or pieces are unaligned."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable
from pathlib import Path

import structlog

from quickthaw_platform.checkpoints.manifest import CHUNK_BYTES
from quickthaw_platform.errors import LoadCancelled

ALIGNMENT_BYTES = 4096
"""Of places, sizes and addresses: enough for every disk."""

_log = structlog.get_logger()


class DirectFile:
    """One file open twice: directly, unless its file system refuses, and by way of the page cache."""

    def __init__(self, path: Path, flags: int = os.O_RDONLY) -> None:
        """Raises OSError where it cannot be opened at all."""
        self.handle = os.open(path, flags, 0o644)
        self._direct: int | None = None
        try:
            self._direct = os.open(path, (flags & ~(os.O_CREAT | os.O_TRUNC | os.O_EXCL)) | os.O_DIRECT)
        except OSError as error:
            if error.errno != errno.EINVAL:
                os.close(self.handle)
            _refused(path, error)
        self._path = path

    @property
    def direct(self) -> bool:
        """Whether aligned pieces go past the page cache."""
        return self._direct is not None

    def read(self, into: memoryview, begin: int) -> int:
        """Fill `into` from `begin` on, aligned pieces directly; return how many bytes the file had for it."""
        done = self._directly(lambda handle, piece, at: os.preadv(handle, [piece], at), into, begin)
        return done + read_buffered(self.handle, into[done:], begin + done)

    def write(self, data: memoryview, begin: int) -> None:
        """Write all of `data` at `begin`, aligned pieces directly."""
        done = self._directly(lambda handle, piece, at: os.pwritev(handle, [piece], at), data, begin)
        while done < len(data):
            done += os.pwrite(self.handle, data[done:], begin + done)

    def close(self) -> None:
        """Close both. Idempotent."""
        for handle in (self.handle, self._direct):
            if handle is not None and handle >= 0:
                os.close(handle)
        self.handle, self._direct = -1, None

    def _directly(self, move: Callable[[int, memoryview, int], int], view: memoryview, begin: int) -> int:
        """Move the aligned beginning of `view`; return how far it came. A refusal is for good."""
        whole = len(view) - len(view) % ALIGNMENT_BYTES
        done = 0
        if begin % ALIGNMENT_BYTES or not whole or address_of(view) % ALIGNMENT_BYTES:
            return 0
        while self._direct is not None and done < whole:
            try:
                moved = move(self._direct, view[done:whole], begin + done)
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                _refused(self._path, error)
                self._direct = None
                return done
            done += moved - moved % ALIGNMENT_BYTES
            if moved % ALIGNMENT_BYTES or not moved:
                break  # the end of the file
        return done


def read_buffered(handle: int, into: memoryview, begin: int) -> int:
    """Fill `into` by way of the page cache; return how many bytes the file had for it."""
    done = 0
    while done < len(into):
        got = os.preadv(handle, [into[done:]], begin + done)
        if not got:
            break
        done += got
    return done


def write_file(path: Path, view: memoryview, stop: Callable[[], bool]) -> None:
    """Write a new file, past the page cache where `view` and disk allow it, and have it on the disk at the end.

    Raises OSError, and LoadCancelled when `stop` says so.
    """
    file = DirectFile(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    try:
        for begin in range(0, len(view), CHUNK_BYTES):
            if stop():
                raise LoadCancelled(f"writing {path} was stopped")
            file.write(view[begin : begin + CHUNK_BYTES], begin)
        os.fsync(file.handle)
    finally:
        file.close()


def address_of(view: memoryview) -> int:
    """Return where a view's first byte is in memory; 0 for an empty or read-only one."""
    if not len(view) or view.readonly:
        return 0
    return ctypes.addressof(ctypes.c_char.from_buffer(view))


def _refused(path: Path, error: OSError) -> None:
    if error.errno != errno.EINVAL:
        raise error
    _log.debug("O_DIRECT is refused; reading by way of the page cache", path=str(path))
