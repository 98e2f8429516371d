"""Forking a child into namespaces of its own, in which it is process 1: whatever it leaves behind ends with it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from quickthaw_platform.cage import kernel
from quickthaw_platform.errors import StartFailed

_CAP_SETGID, _CAP_SETUID, _CAP_SYS_ADMIN = 6, 7, 21
Fork = Callable[[Callable[[], None]], int]
"""Forks a child that calls what it is given and exits; returns its process id."""

_NEEDED = (1 << _CAP_SETGID) | (1 << _CAP_SETUID) | (1 << _CAP_SYS_ADMIN)


def is_privileged() -> bool:
    """Whether this process may make namespaces without one of users around them, and become another user."""
    status = Path("/proc/self/status").read_text()
    effective = next((int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapEff:")), 0)
    return effective & _NEEDED == _NEEDED


def fork_into_namespaces(
    fork: Fork, run: Callable[[int], None], announce: Callable[[int], None], *, network: bool
) -> int:
    """Fork a child that calls `run` with its process id out here, and exits, 0 if it returned; return that id.

    `announce` is called with the id in a process between before the child runs. `network`: the child keeps the network
    of this process. Needs a process of one thread that is a subreaper: the child is its own, for the process between
    ends at once. Raises StartFailed with the kernel's reason where it refuses.
    """
    report_reader, report_writer = os.pipe()
    between = fork(lambda: _make(fork, run, announce, report_writer, network=network))
    os.close(report_writer)
    with os.fdopen(report_reader, "rb") as report:
        said = report.read().decode(errors="replace")
    os.waitpid(between, 0)
    if not said.isdigit():
        raise StartFailed(f"the instance's cage could not be made: {said or 'its process was killed'}")
    return int(said)


def _make(
    fork: Fork, run: Callable[[int], None], announce: Callable[[int], None], report: int, *, network: bool
) -> None:
    kernel.set_name("qt-caging")  # in place of its parent's name, which the child has until it takes its own
    gate_reader, gate_writer = os.pipe()

    def wait_and_run() -> None:
        os.close(report)
        os.close(gate_writer)
        with os.fdopen(gate_reader, "rb") as gate:
            pid = gate.read()
        if pid:  # else the process between has failed
            run(int(pid))

    try:
        _enter(network=network)
        pid = fork(wait_and_run)
        announce(pid)
        os.write(gate_writer, str(pid).encode())
        os.write(report, str(pid).encode())
    except OSError as error:
        os.write(report, str(error).encode())


def _enter(*, network: bool) -> None:
    flags = kernel.CLONE_NEWNS | kernel.CLONE_NEWPID | kernel.CLONE_NEWIPC | (0 if network else kernel.CLONE_NEWNET)
    if is_privileged():
        kernel.unshare(flags)
        return
    user, group = os.geteuid(), os.getegid()
    kernel.set_dumpable(True)  # else the maps belong to root
    kernel.unshare(flags | kernel.CLONE_NEWUSER)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
