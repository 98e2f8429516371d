"""A generator that shares its processors with what it measures is to be served first, or its requests are late."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

NICE = -15


@contextmanager
def served_first() -> Iterator[bool]:
    """Raise this thread's priority where the system lets it (root, CAP_SYS_NICE), and put it back.

    Tells whether it was raised. On Linux a priority is a thread's own. Lowering it again is always allowed.
    """
    before = os.getpriority(os.PRIO_PROCESS, 0)
    try:
        os.setpriority(os.PRIO_PROCESS, 0, min(before, NICE))
    except PermissionError:
        yield False
        return
    try:
        yield True
    finally:
        os.setpriority(os.PRIO_PROCESS, 0, before)
