"""The tie of a process to its parent: the kernel kills it when the parent dies, of SIGKILL too (PR_SET_PDEATHSIG).

It survives exec, and is not inherited by forks. The kernel counts the death of the *thread* that started the process.
"""

from __future__ import annotations

import ctypes
import signal

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def die_with_parent() -> None:
    """Tie this process to its parent, which may have died already: whoever cares looks afterwards."""
    _set(signal.SIGKILL)


def outlive_parent() -> None:
    """Undo it."""
    _set(0)


def _set(number: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
