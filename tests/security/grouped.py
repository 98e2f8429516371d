"""Runs an instance's process in a control group: `python -m tests.security.grouped GROUP LEVEL USER WORKDIR`.

This process joins the group whose folder is GROUP and becomes USER (0: as it is), to whom that is delegated. Its
instance leaves a process behind that was forked twice. What became of them is printed as JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

from quickthaw.types import Isolation, Network
from quickthaw_platform.cage import kernel
from quickthaw_platform.cage.entering import enter
from quickthaw_platform.cage.forks import fork_for
from quickthaw_platform.cage.order import CageOrder
from quickthaw_platform.control_groups.group import Group
from quickthaw_platform.control_groups.groups import ControlGroups
from quickthaw_platform.control_groups.joining import Joining
from quickthaw_platform.control_groups.limits import Limits
from quickthaw_platform.worker import forking
from tests.security import caged

SECONDS = 600
"""How long the process that is left would go on."""


def main(own: Path, level: Isolation, user: int, workdir: str) -> dict[str, Any]:
    """Return `joined`, the group that the instance found itself in; how many it `left` there; whether it is `gone`."""
    (own / "cgroup.procs").write_text("0")
    if user:
        caged.become(user)
    kernel.become_subreaper()
    groups = ControlGroups()
    groups.start()
    group = groups.make("i-1", Limits(None, 64, 1.0), ends_anyway=False)
    assert group is not None, groups.delegation.why
    reader, writer = os.pipe()
    joining = Joining(group.order.frame())
    cage = CageOrder(level, Network.HOST, caged.SCRATCH_BYTES, workdir)
    child = fork_for(cage, forking.fork, partial(_instance, cage, joining, writer), lambda _pid: None)
    joining.move(child)
    os.close(writer)
    with os.fdopen(reader) as report:
        joined = report.readline().strip()
    os.waitpid(child, 0)
    left = len(_processes(group))
    return {"joined": joined, "left": left, "gone": group.end() and not group.folder.exists()}


def _instance(cage: CageOrder, joining: Joining, report: int, pid: int) -> None:
    group = Path("/proc/self/cgroup")
    enter(cage, pid)
    joining.wait()
    os.write(report, group.read_text().splitlines()[-1].encode() + b"\n")
    os.close(report)
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(SECONDS)
        os._exit(0)
    os.wait()


def _processes(group: Group) -> list[str]:
    return (group.folder / "cgroup.procs").read_text().split()


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), Isolation(sys.argv[2]), int(sys.argv[3]), sys.argv[4])))
