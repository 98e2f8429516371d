"""What shared memory this kernel gives: files without a name, in huge pages where that is allowed."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

Kind = Literal["tmpfs-huge", "memfd-huge", "memfd"]

SHMEM_ENABLED = Path("/sys/kernel/mm/transparent_hugepage/shmem_enabled")

_FSOPEN, _FSCONFIG, _FSMOUNT = 430, 431, 432  # Linux 5.2; the same numbers on every architecture
_CLOEXEC = 1
_SET_STRING, _CREATE = 1, 6
_POPULATE_WRITE = 23
_MODE = 0o644
"""Instances may be users of their own, who read what their engine is handed and never write to it."""

_libc = ctypes.CDLL(None, use_errno=True)


class KernelMemory(NamedTuple):
    """A kind of memory, and how to make a file of it that has no size yet."""

    kind: Kind
    make: Callable[[], int]

    @property
    def huge(self) -> bool:
        """Whether it comes in huge pages: then mapping it is ten times cheaper."""
        return self.kind != "memfd"


@cache
def best() -> KernelMemory:
    """Return the best kind that this process may use; what was mounted for it stays until the process ends.

    A tmpfs of its own, mounted nowhere and gone with its last file, needs CAP_SYS_ADMIN; huge pages in a memfd need a
    setting of the machine (shmem_enabled); a plain memfd is always there. None depends on the size of /dev/shm.
    """
    try:
        mount = _detached_tmpfs()
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOSYS, errno.EINVAL, errno.EACCES):
            raise
        return KernelMemory("memfd-huge" if memfd_may_be_huge() else "memfd", _memfd)
    return KernelMemory("tmpfs-huge", lambda: _file_of(mount))


def memfd_may_be_huge(setting: Path = SHMEM_ENABLED) -> bool:
    """Whether the machine gives huge pages to memory that asks for them (or to all)."""
    try:
        text = setting.read_text()
    except OSError:
        return False
    return any(f"[{choice}]" in text for choice in ("always", "within_size", "advise", "force"))


def fault_in(mapping: mmap.mmap, begin: int, size: int) -> None:
    """Have the kernel back a part of a writable mapping with memory now. OSError(ENOMEM) where there is none."""
    held = ctypes.c_char.from_buffer(mapping, begin)
    address = ctypes.addressof(held)
    del held
    if _libc.madvise(ctypes.c_void_p(address), ctypes.c_size_t(size), _POPULATE_WRITE):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _file_of(mount: int) -> int:
    fd = os.open(".", os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600, dir_fd=mount)
    os.fchmod(fd, _MODE)
    return fd


def _memfd() -> int:
    fd = os.memfd_create("quickthaw-weights", os.MFD_CLOEXEC)
    os.fchmod(fd, _MODE)
    return fd


def _detached_tmpfs() -> int:
    context = _call(_FSOPEN, b"tmpfs", _CLOEXEC)
    try:
        _call(_FSCONFIG, context, _SET_STRING, b"huge", b"always", 0)
        _call(_FSCONFIG, context, _SET_STRING, b"size", b"0", 0)  # no limit of its own; it would be half of the memory
        _call(_FSCONFIG, context, _CREATE, None, None, 0)
        return _call(_FSMOUNT, context, _CLOEXEC, 0)
    finally:
        os.close(context)


def _call(number: int, *arguments: int | bytes | None) -> int:
    result = int(_libc.syscall(number, *arguments))
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result
