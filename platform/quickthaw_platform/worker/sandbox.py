"""What an instance may use: memory, environment, working directory. docs/security.md says what this isolates."""

from __future__ import annotations

import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

THREAD_STACK_BYTES = 2 << 20
"""Stack of a handler thread. It counts as data, so that it is fixed and added to the limit."""

SPARE_THREADS = 16
_INHERITED = ("PATH", "LANG", "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER")
"""Without the last two, `cuda:0` would be another device here than for the worker that is bound to it."""


def environment(inherited: Mapping[str, str], workdir: Path, own: Mapping[str, str]) -> dict[str, str]:
    """Return the whole environment of an instance: of the platform's only what is named above, then the function's."""
    kept = {name: inherited[name] for name in _INHERITED if name in inherited}
    return {"PATH": os.defpath, "LANG": "C.UTF-8", **kept, "HOME": str(workdir), "TMPDIR": str(workdir), **own}


def enter(workdir: Path, own: Mapping[str, str], bundle: Path) -> None:
    """Replace this process's environment and working directory, and forbid core dumps.

    The working directory holds a copy of the bundle, this instance's own: relative paths begin in the folder of the
    function, and what is written there harms no other instance. Of the function's variables those are applied that
    Python reads once: TZ, TMPDIR and PYTHONPATH, whose relative entries begin in that folder too.
    """
    wanted = environment(os.environ, workdir, own)
    os.environ.clear()
    os.environ.update(wanted)
    shutil.copytree(bundle, workdir, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    os.chdir(workdir)
    time.tzset()
    tempfile.tempdir = None
    sys.path[:0] = [str(bundle / entry) for entry in own.get("PYTHONPATH", "").split(os.pathsep) if entry]
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def limit_memory(memory_bytes: int, threads: int) -> None:
    """Let this process allocate `memory_bytes` more than it has now, and the stacks of so many threads.

    The limit is on private writable memory (RLIMIT_DATA): mapped weights and what is shared with the template before
    it is written do not count, and neither does address space that is only reserved.
    """
    limit = data_bytes(Path("/proc/self/status").read_text()) + memory_bytes + threads * THREAD_STACK_BYTES
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def data_bytes(status: str) -> int:
    """Return VmData of a /proc/PID/status text, in bytes."""
    for line in status.splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) << 10
    raise ValueError("there is no VmData in the process status")
