"""How far the weights of a checkpoint have arrived: a page of memory that the loading process writes and others map.

The page holds the state, the watermark of each weights file (so many of its first bytes are there, and right), and the
cause of a failure. Engines read it, so it imports nothing heavy.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from collections.abc import Sequence
from enum import IntEnum
from pathlib import Path

from quickthaw_platform.errors import StartFailed

PAGE_BYTES = 4096
MAX_FILES = 256
POLL_SECONDS = 0.0005

_STATE = struct.Struct("<I")
_MARK = struct.Struct("<Q")
_MARKS_AT = 8
_CAUSE_AT = _MARKS_AT + MAX_FILES * _MARK.size
_CAUSE_BYTES = PAGE_BYTES - _CAUSE_AT


class State(IntEnum):
    """What the loading process says of the whole."""

    ARRIVING = 0
    COMPLETE = 1
    FAILED = 2  # with a cause


class ArrivalWriter:
    """The loading process' side. `fd` is the page, to be handed to others or opened again through /proc."""

    def __init__(self) -> None:
        self.fd = os.memfd_create("quickthaw-arrival", os.MFD_CLOEXEC)
        os.fchmod(self.fd, 0o644)  # others read it, whatever users they are
        os.ftruncate(self.fd, PAGE_BYTES)
        self._page = mmap.mmap(self.fd, PAGE_BYTES)

    def advance(self, file: int, mark: int) -> None:
        """Say that the first `mark` bytes of the weights file with this index are there. From one thread per file."""
        _MARK.pack_into(self._page, _MARKS_AT + file * _MARK.size, mark)

    def complete(self) -> None:
        """Say that everything is there."""
        _STATE.pack_into(self._page, 0, State.COMPLETE)

    def fail(self, cause: str) -> None:
        """Say that it will never be; everybody who waits gets the cause."""
        text = cause.encode()[: _CAUSE_BYTES - 1]
        self._page[_CAUSE_AT : _CAUSE_AT + len(text)] = text
        _STATE.pack_into(self._page, 0, State.FAILED)

    def close(self) -> None:
        """Let go of the page; those who map it keep it. Idempotent."""
        if not self._page.closed:
            self._page.close()
            os.close(self.fd)


class Arrival:
    """The waiting processes' side; a fork may go on using its parent's."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self._page = mmap.mmap(file.fileno(), PAGE_BYTES, prot=mmap.PROT_READ)

    @property
    def complete(self) -> bool:
        """Whether everything is there. Raises StartFailed with the cause where it will never be."""
        (state,) = _STATE.unpack_from(self._page, 0)
        if state == State.FAILED:
            cause = self._page[_CAUSE_AT:].split(b"\0", 1)[0].decode(errors="replace")
            raise StartFailed(cause)
        return bool(state == State.COMPLETE)

    def mark(self, file: int) -> int:
        """Return how many of the first bytes of a weights file are there."""
        (mark,) = _MARK.unpack_from(self._page, _MARKS_AT + file * _MARK.size)
        return int(mark)

    def wait(self, file: int, end: int) -> None:
        """Return when the first `end` bytes of a weights file are there. Raises StartFailed with the cause."""
        while not self.complete and self.mark(file) < end:
            time.sleep(POLL_SECONDS)

    def wait_for_all(self, sizes: Sequence[int]) -> None:
        """Return when every file, of these sizes, is there. Raises StartFailed with the cause."""
        for file, size in enumerate(sizes):
            self.wait(file, size)
