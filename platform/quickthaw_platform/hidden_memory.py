"""A process that others of the same user cannot look into: neither its memory nor its environment nor its descriptors.

The kernel then gives /proc/PID to root (PR_SET_DUMPABLE), so passwords in it are not for functions that run as the same
user, debuggers of that user cannot attach, and it leaves no core file. Forks inherit it, and exec undoes it: each
program hides itself as early as it can.
"""

from __future__ import annotations

import ctypes

_PR_SET_DUMPABLE = 4  # linux/prctl.h


def hide_memory() -> None:
    """Hide this process, and those that it forks, from other processes of its user."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_DUMPABLE) failed")
