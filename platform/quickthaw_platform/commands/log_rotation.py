"""Sets a log aside that has grown large: `gateway.log` becomes `gateway.log.1`, in place of the one before."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path


def rotate(log: Path, largest_bytes: int, *, moved: bool) -> None:
    """Set `log` aside where it is larger than that. Nothing happens where that fails, on a full disk say.

    `moved`: whoever writes it opens its path anew. Else the writer keeps the file, opened for appending, so that its
    content is copied and cut off; a line written between the two is lost. What is set aside may go on growing by what a
    writer puts out that does not follow: then it is cut off too.
    """
    aside = log.with_suffix(".log.1")
    with contextlib.suppress(OSError):
        if _bytes(log) > largest_bytes:
            if moved:
                log.replace(aside)
            else:
                _copy_and_cut(log, aside)
        elif _bytes(aside) > 2 * largest_bytes:
            os.truncate(aside, 0)


def _copy_and_cut(log: Path, aside: Path) -> None:
    try:
        shutil.copyfile(log, aside)
    finally:  # without space for a copy the log is still held to its size
        os.truncate(log, 0)


def _bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
