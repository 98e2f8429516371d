"""The file that a process' output was redirected to: looked up again when somebody has moved it away.

A supervisor, logrotate or `mv` may set the file aside at any time. Whoever writes the next line then makes a new one
at the old path, for all that the process puts out, that of libraries in C too. No signal is needed.
"""

from __future__ import annotations

import logging
import os
import stat
import sys
from pathlib import Path
from typing import TextIO

_DELETED = " (deleted)"  # how the kernel ends the path of a file that is gone


class RedirectedOutput:
    """What standard error leads to, and standard output with it where that is the same file."""

    def __init__(self, descriptor: int = 2, along: tuple[int, ...] = (1,)) -> None:
        """`along` are descriptors that follow where they lead to the same file."""
        self._descriptor = descriptor
        self._path = _regular_file(descriptor)
        self._along = tuple(other for other in along if _same(other, descriptor))

    def follow(self) -> None:
        """Open the path anew where it leads to another file, or to none. Where that fails, nothing changes."""
        if self._path is None or self._is_there(self._path):
            return
        try:
            fresh = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        except OSError:  # its folder is gone: better in the old file than nowhere
            return
        for descriptor in (self._descriptor, *self._along):
            os.dup2(fresh, descriptor)
        os.close(fresh)

    def _is_there(self, path: Path) -> bool:
        try:
            return os.path.samestat(path.stat(), os.fstat(self._descriptor))
        except OSError:
            return False


class FollowingHandler(logging.StreamHandler[TextIO]):
    """Writes to standard error, in whichever file that now has its path."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)
        self._output = RedirectedOutput()

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line."""
        self._output.follow()
        super().emit(record)


def _regular_file(descriptor: int) -> Path | None:
    """Return the path of the file that a descriptor leads to; None for a terminal, a pipe, or a file without a name."""
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
    except OSError:
        return None
    return None if str(path).endswith(_DELETED) else path


def _same(one: int, other: int) -> bool:
    try:
        return os.path.samestat(os.fstat(one), os.fstat(other))
    except OSError:
        return False
