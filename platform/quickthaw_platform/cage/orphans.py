"""Processes whose parent has ended, among the children of this one; at `strict` the kernel ends them instead."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

PATIENCE_SECONDS = 0.5
"""How long to go on with those that make others while they are ended."""

_PAUSE_SECONDS = 0.001


def children() -> list[int]:
    """Return the process ids of this process' children; none where the kernel does not list them."""
    try:
        return [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]
    except FileNotFoundError:
        return []


def end(orphans: Callable[[], Sequence[int]]) -> None:
    """Kill and reap what `orphans` lists until that is nothing: the children of those that end come after them."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (found := orphans()) and time.monotonic() < deadline:
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        time.sleep(_PAUSE_SECONDS)
