"""Runs code in the cage, as an instance would: `python -m tests.security.caged ORDER USER PROXY`.

The code comes by standard input, and what it prints is printed. ORDER is a CageOrder's frame as JSON; its `workdir` is
the code's working directory. USER is the number of the user to be meanwhile, whose namespaces are those of a user
without rights; 0: as it is. PROXY is the descriptor by which the socket of the proxy goes out; 0: none.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from quickthaw.types import Isolation, Network
from quickthaw_platform.cage import kernel
from quickthaw_platform.cage.entering import enter
from quickthaw_platform.cage.forks import fork_for
from quickthaw_platform.cage.levels import Grant
from quickthaw_platform.cage.order import CageOrder
from quickthaw_platform.worker import forking

ROOT = Path(__file__).parents[2]
SCRATCH_BYTES = 4 << 20
TASKS = 64


def run(
    code: str,
    workdir: Path,
    level: Isolation,
    network: Network = Network.HOST,
    *,
    user: int | None = None,
    proxy: int | None = None,
    **order: Any,
) -> subprocess.CompletedProcess[str]:
    """Run code in a cage of its own; as another user where this one may become it.

    `proxy` is a descriptor by which the socket of the proxy goes out.
    """
    workdir.mkdir(exist_ok=True)
    wanted = CageOrder(level, network, SCRATCH_BYTES, str(workdir), tasks=TASKS, **order)
    if user is not None:
        os.chown(workdir, user, user)
    return subprocess.run(
        [sys.executable, "-m", "tests.security.caged", json.dumps(wanted.frame()), str(user or 0), str(proxy or 0)],
        input=code, capture_output=True, text=True, cwd=ROOT, check=False, timeout=60,
        pass_fds=[] if proxy is None else [proxy],
    )  # fmt: skip


def main(order: str, user: int, proxy: int) -> None:
    """Fork, enter, run."""
    frame = json.loads(order)
    cage = CageOrder.of(frame, Grant(Isolation(frame["level"])))
    code = sys.stdin.read()

    def enter_and_run(pid: int) -> None:
        enter(cage, pid, proxy or None)
        os.chdir(cage.workdir)
        exec(compile(code, "function.py", "exec"), {"__name__": "function"})
        sys.stdout.flush()

    if user:
        become(user)
    kernel.become_subreaper()
    child = fork_for(cage, forking.fork, enter_and_run, lambda _pid: None)
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def become(user: int) -> None:
    """Be an ordinary user, who may not even be able to read this Python: what the code imports is loaded before."""
    for name in ("ctypes", "encodings.idna", "errno", "mmap", "resource", "signal", "socket", "struct"):
        importlib.import_module(name)
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
