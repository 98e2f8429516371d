"""Forking a child into namespaces of its own, in which it is process 1: whatever it leaves behind ends with it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from quickthaw_platform.cage import kernel
from quickthaw_platform.errors import StartFailed

Fork = Callable[[Callable[[], None]], int]
"""Forks a child that calls what it is given and exits; returns its process id."""

_CAP_SETGID, _CAP_SETUID, _CAP_SYS_ADMIN = 6, 7, 21
_NEEDED = (1 << _CAP_SETGID) | (1 << _CAP_SETUID) | (1 << _CAP_SYS_ADMIN)


def is_privileged() -> bool:
    """Whether this process may make namespaces without one of users around them, and become another user."""
    status = Path("/proc/self/status").read_text()
    effective = next((int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapEff:")), 0)
    return effective & _NEEDED == _NEEDED


def fork_as_first(fork: Fork, run: Callable[[int], None], announce: Callable[[int], None]) -> int:
    """Fork a child that is process 1, calls `run` with its process id out here, and exits, 0 if it returned.

    Returns that id, after `announce` was called with it; the child waits for that. `fork` forks a child that calls what
    it is given and exits. Needs a process of one thread that is a subreaper. Raises StartFailed with the kernel's
    reason where it refuses.
    """
    try:
        return (_fork_here if is_privileged() else _fork_by_another)(fork, run, announce)
    except OSError as error:
        raise StartFailed(f"the instance's cage could not be made: {error}") from error


def enter_others(*, network: bool) -> None:
    """Enter namespaces of mounts, of what System V and POSIX share, and, but for `network`, of the network."""
    kernel.unshare(kernel.CLONE_NEWNS | kernel.CLONE_NEWIPC | (0 if network else kernel.CLONE_NEWNET))


def _fork_here(fork: Fork, run: Callable[[int], None], announce: Callable[[int], None]) -> int:
    """Have the next child be process 1, and later ones be children as before, which takes rights out here."""
    gate_reader, gate_writer = os.pipe()
    own = os.open("/proc/self/ns/pid", os.O_RDONLY)
    kernel.unshare(kernel.CLONE_NEWPID)
    try:
        pid = fork(lambda: _wait_and_run(gate_reader, (gate_writer, own), run))
    finally:
        kernel.enter_for_children(own)
        os.close(own)
        os.close(gate_reader)
    with os.fdopen(gate_writer, "wb") as gate:
        announce(pid)
        gate.write(str(pid).encode())
    return pid


def _fork_by_another(fork: Fork, run: Callable[[int], None], announce: Callable[[int], None]) -> int:
    """Have a process between enter a namespace of users, fork, and end: its child becomes this one's."""
    report_reader, report_writer = os.pipe()
    between = fork(lambda: _fork_between(fork, run, announce, report_writer))
    os.close(report_writer)
    with os.fdopen(report_reader, "rb") as report:
        said = report.read().decode(errors="replace")
    os.waitpid(between, 0)
    if not said.isdigit():
        raise OSError(said or "its process was killed")
    return int(said)


def _fork_between(fork: Fork, run: Callable[[int], None], announce: Callable[[int], None], report: int) -> None:
    kernel.set_name("qt-caging")  # in place of its parent's name, which the child has until it takes its own
    gate_reader, gate_writer = os.pipe()
    try:
        _become_users_own()
        pid = fork(lambda: _wait_and_run(gate_reader, (gate_writer, report), run))
        announce(pid)
        os.write(gate_writer, str(pid).encode())
        os.write(report, str(pid).encode())
    except OSError as error:
        os.write(report, str(error).encode())


def _wait_and_run(gate: int, others: Sequence[int], run: Callable[[int], None]) -> None:
    for fd in others:
        os.close(fd)
    with os.fdopen(gate, "rb") as opened:
        pid = opened.read()
    if pid:  # else whoever was to say so has failed
        run(int(pid))


def _become_users_own() -> None:
    """Enter namespaces of users, with this one's user alone, and of processes, for the next child."""
    user, group = os.geteuid(), os.getegid()
    kernel.set_dumpable(True)  # else the maps belong to root
    kernel.unshare(kernel.CLONE_NEWUSER | kernel.CLONE_NEWPID)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
