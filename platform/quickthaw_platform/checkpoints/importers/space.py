"""Room on the disk: asked for before anything is written, and said in figures when it runs out all the same."""

from __future__ import annotations

import contextlib
import errno
import shutil
from collections.abc import Iterator
from pathlib import Path

from quickthaw_platform.errors import QuickthawError

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class DiskFull(QuickthawError):
    """The disk has no room for what is to be written; the message has the figures in bytes."""

    default_code = "disk_full"


@contextlib.contextmanager
def room_for(directory: Path, needed_bytes: int) -> Iterator[None]:
    """Raise DiskFull at once where so much is not free, and wherever the disk runs full within the context."""
    if needed_bytes > shutil.disk_usage(directory).free:
        raise _full(directory, needed_bytes)
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise _full(directory, needed_bytes) from error


def _full(directory: Path, needed_bytes: int) -> DiskFull:
    free = shutil.disk_usage(directory).free
    return DiskFull(
        f"{directory.parent} has no room: {needed_bytes:,} bytes are needed and {free:,} are free (quotas and limits "
        "on file sizes may allow less); free some, or set QUICKTHAW_DATA_DIR to another disk, and import again"
    )
