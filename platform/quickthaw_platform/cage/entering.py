"""Entering the cage: the last that an instance's process does as the platform's, before any code of its function."""

from __future__ import annotations

import fcntl
import os
import platform
import signal
import socket
import struct
from functools import cache
from pathlib import Path
from types import FrameType

from quickthaw.types import Isolation, Network
from quickthaw_platform.cage import call_filter, kernel, mounting, proxy_listener, rlimits, view
from quickthaw_platform.cage.namespaces import enter_others
from quickthaw_platform.cage.order import CageOrder
from quickthaw_platform.errors import StartFailed

FIRST_USER = 0x71000000
"""Where the platform runs as root, an instance is the user with this number plus that of its process."""

NOBODY = 65534
_ENDING = (
    *(signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM),
    *(signal.SIGALRM, signal.SIGUSR1, signal.SIGUSR2),
)
_SIGNALLED = 128
"""As shells count it, the exit status of a process that a signal ended is this plus the signal's number."""

_SIOCSIFFLAGS = 0x8914
_IFF_UP = 1


def enter(order: CageOrder, pid: int, proxy: int | None = None) -> None:
    """Shut this process off as far as the order's level says; at `strict` it has been forked as process 1.

    `pid` is its number outside. `proxy`, with the network `egress`, is the descriptor by which the socket of the proxy
    goes out, and is closed. Needs a process of one thread. Raises StartFailed with the kernel's reason.
    """
    try:
        if order.level is not Isolation.NONE:
            os.setsid()  # a signal to its own group would reach whoever else the template forked
        if order.level is Isolation.STRICT:
            _enter_strict(order, pid, proxy)
        elif order.level is Isolation.PROCESS:
            _enter_process(order)
    except OSError as error:
        raise StartFailed(f"the instance's cage ({order.level.value}) could not be entered: {error}") from error


def make_ready() -> None:
    """Find out here what is the same for all children that are to enter; with a GPU they do so for themselves."""
    view.common(gpu=False)
    for internet in (True, False):
        _filter(internet=internet, gpu=False)


@cache
def _filter(*, internet: bool, gpu: bool) -> bytes:
    return call_filter.program(platform.machine(), internet=internet, gpu=gpu)


def _enter_strict(order: CageOrder, pid: int, proxy: int | None) -> None:
    enter_others(network=order.network is Network.HOST)
    other = another_user(pid, Path("/proc/self/uid_map").read_text())
    user, group = (os.geteuid(), os.getegid()) if other is None else (other, other)
    seen = view.of_instance(order.readable, order.hidden, gpu=order.gpu)
    groups = _groups_of(seen.common.devices) if order.gpu else []
    mounting.build(seen, Path(order.workdir), order.scratch_bytes, user, group)
    if order.network is not Network.HOST:
        _raise_loopback()
    if proxy is not None:
        proxy_listener.hand_out(proxy)
    kernel.drop_bounding_capabilities()
    if other is not None:
        _become(other, groups)
    _hear_signals()
    rlimits.limit_tasks(order.tasks)
    _enter_common(order, internet=True)


def _enter_process(order: CageOrder) -> None:
    kernel.drop_bounding_capabilities()
    kernel.become_subreaper()  # so that the template finds what it leaves behind
    _enter_common(order, internet=order.network is not Network.NONE)


def _enter_common(order: CageOrder, *, internet: bool) -> None:
    rlimits.limit_files(order.scratch_bytes)
    kernel.drop_capabilities()
    kernel.set_dumpable(order.level is Isolation.STRICT)  # there nobody else sees it, and its /proc/self is its own
    kernel.gain_no_privileges()
    kernel.filter_calls(_filter(internet=internet, gpu=order.gpu))


def _become(user: int, groups: list[int]) -> None:
    os.setgroups(groups)
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)


def another_user(pid: int, uid_map: str) -> int | None:
    """Return the number of a user that owns nothing on this machine, of its own for a process where there are so many.

    `uid_map` says which there are: lines of (first inside, first outside, count), as in /proc/self/uid_map. None: only
    one, that of the worker, as in the namespaces that a user without rights makes.
    """
    rows = [tuple(map(int, line.split())) for line in uid_map.splitlines()]
    if sum(count for _first, _outside, count in rows) == 1:
        return None
    wanted = FIRST_USER + pid
    return wanted if any(first <= wanted < first + count for first, _outside, count in rows) else NOBODY


def _groups_of(devices: tuple[str, ...]) -> list[int]:
    """Return the groups that may use the devices; root's is left out."""
    return sorted({Path(path).stat().st_gid for path in devices} - {0})


def _hear_signals() -> None:
    """End at the signals that end any other process: the kernel spares process 1 all but SIGKILL from outside."""
    for number in _ENDING:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _end)


def _end(number: int, _frame: FrameType | None) -> None:
    os._exit(_SIGNALLED + number)


def _raise_loopback() -> None:
    """Let the instance's own processes talk to each other over 127.0.0.1, which reaches nobody else."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP))
