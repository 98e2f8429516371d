"""Runs pytest inside the virtual machine: `python -m tests.virtual_machine.inside SHARED`.

Its arguments are the lines of the file `arguments` in SHARED, and its status is left in the file `status` there; a test
that is skipped makes it fail, since this machine is there to run all. As under systemd's `Delegate=` pytest is in a
control group that has all controllers, and whose processes are in a group below.
"""

from __future__ import annotations

import fcntl
import platform
import socket
import struct
import sys
from pathlib import Path

import pytest

from quickthaw_platform.control_groups.delegation import OWN, WANTED

GROUP = Path("/sys/fs/cgroup/tests")

_SIOCSIFFLAGS = 0x8914
_IFF_UP = 1


class NothingIsSkipped:
    """A plugin of pytest's."""

    def __init__(self) -> None:
        self.skipped = False

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.skipped |= report.skipped

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.skipped and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


def main(shared: Path) -> None:
    """Prepare the machine as others are, run pytest and leave its status."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP))
    (GROUP / OWN).mkdir(parents=True)
    for above in (GROUP.parent, GROUP):
        (above / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in WANTED))
    (GROUP / OWN / "cgroup.procs").write_text("0")
    print(f"below Linux {platform.release()}")
    arguments = (shared / "arguments").read_text().splitlines()
    status = pytest.main(["-p", "no:cacheprovider", *arguments], plugins=[NothingIsSkipped()])
    (shared / "status").write_text(str(int(status)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
