"""The seccomp filter of an instance, as a BPF program: which system calls are refused. Pure.

Refused are ways to other processes, to other namespaces and mounts, to parts of the kernel that have often been broken
into (BPF, io_uring, userfaultfd, keys), to the machine's settings, and to memory that no limit counts: memory without
a name, and System V's, whose semaphores and messages are the kernel's and outlive who made them. Everything else is
allowed: what functions do with files, processes and sockets is bounded by the rest of the cage.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterator

from quickthaw_platform.cage.syscalls import MACHINES, TABLE, number

_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
"""The kernel's names of them (linux/audit.h): calls of another one, as of 32-bit programs, have other numbers."""

_X32_CALLS = 0x40000000
_EXAMINED = frozenset({"capset", "clone", "clone3", "ioctl", "mmap", "socket"})
_UNCOUNTED_MEMORY = frozenset({"memfd_create", "memfd_secret", "shmget"})
REFUSED = frozenset(TABLE) - _EXAMINED - _UNCOUNTED_MEMORY

_NEW_NAMESPACES = 0x7E020080
"""All CLONE_NEW* flags."""
_SHARED_ANONYMOUS = 0x21
"""MAP_SHARED and MAP_ANONYMOUS: memory that RLIMIT_DATA does not count."""
_TIOCSTI = 0x5412
"""Types into a terminal."""
_UNIX, _NETLINK = 1, 16
_INTERNET = (2, 10)

_LOAD, _EQUAL, _ABOVE, _ANY_BIT, _AND, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
_ALLOW, _KILL = 0x7FFF0000, 0x80000000
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT = 0, 4, 16

Instruction = tuple[int, int, int, int]
"""Its code, how many instructions to leave out where its condition holds and where not, and its operand."""


def program(machine: str, *, internet: bool, gpu: bool) -> bytes:
    """Return the filter for a processor. Without `internet` there are no sockets but those of files and of pairs.

    With a GPU memory that no limit counts is allowed: CUDA shares some with the device.

    Raises OSError for a processor that is not known here.
    """
    if machine not in MACHINES:
        raise OSError(f"which system calls to refuse on {machine} is not known here")
    instructions = [
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_EQUAL, 1, 0, _ARCHITECTURES[machine]),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER_AT),
        *((_ABOVE, 0, 1, _X32_CALLS), _refuse(errno.ENOSYS)),
        *_calls(machine, internet=internet, gpu=gpu),
        (_RETURN, 0, 0, _ALLOW),
    ]
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in instructions)


def _calls(machine: str, *, internet: bool, gpu: bool) -> Iterator[Instruction]:
    names = REFUSED if gpu else REFUSED | _UNCOUNTED_MEMORY
    for refused in sorted(n for n in (getattr(TABLE[name], machine) for name in names) if n is not None):
        yield from ((_EQUAL, 0, 1, refused), _refuse(errno.EPERM))
    # The C library then falls back to `clone`, whose flags can be examined; those of `clone3` are in memory.
    yield from ((_EQUAL, 0, 1, number("clone3", machine)), _refuse(errno.ENOSYS))
    new_namespace = ((_ANY_BIT, 0, 1, _NEW_NAMESPACES), _refuse(errno.EPERM))
    yield from _examine(number("clone", machine), 0, *new_namespace)
    yield from _examine(number("ioctl", machine), 1, (_EQUAL, 0, 1, _TIOCSTI), _refuse(errno.EPERM))
    if not gpu:
        shared = ((_AND, 0, 0, _SHARED_ANONYMOUS), (_EQUAL, 0, 1, _SHARED_ANONYMOUS), _refuse(errno.EPERM))
        yield from _examine(number("mmap", machine), 3, *shared)
    yield from _examine(number("socket", machine), 0, *_families(internet=internet))


def _families(*, internet: bool) -> Iterator[Instruction]:
    """Allow sockets of this machine's own kind, and those of the internet; refuse others, as of virtual machines."""
    allowed = (_UNIX, _NETLINK, *(_INTERNET if internet else ()))
    for family in allowed:
        yield from ((_EQUAL, 0, 1, family), (_RETURN, 0, 0, _ALLOW))
    yield _refuse(errno.EAFNOSUPPORT)


def _examine(call: int, argument: int, *instructions: Instruction) -> Iterator[Instruction]:
    """Load the lower half of an argument of a call and go on with `instructions`; what they let pass is allowed."""
    yield (_EQUAL, 0, len(instructions) + 2, call)
    yield (_LOAD, 0, 0, _ARGUMENTS_AT + 8 * argument)
    yield from instructions
    yield (_RETURN, 0, 0, _ALLOW)


def _refuse(code: int) -> Instruction:
    return (_RETURN, 0, 0, 0x00050000 | code)
