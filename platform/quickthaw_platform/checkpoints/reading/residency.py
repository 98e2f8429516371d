"""What of a file is in the page cache."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
from pathlib import Path

PAGE_BYTES = mmap.PAGESIZE

_CACHESTAT = 451  # Linux 6.5; the same number on every architecture
_libc = ctypes.CDLL(None, use_errno=True)


class _Range(ctypes.Structure):
    _fields_ = (("offset", ctypes.c_uint64), ("length", ctypes.c_uint64))


class _Stat(ctypes.Structure):
    _fields_ = tuple(
        (name, ctypes.c_uint64) for name in ("cached", "dirty", "writeback", "evicted", "recently_evicted")
    )


def resident_bytes(path: Path, begin: int = 0, end: int | None = None) -> int:
    """Return how many of a file's bytes from `begin` to `end` (None: its end) are in the page cache."""
    handle = os.open(path, os.O_RDONLY)
    try:
        return resident_in(handle, begin, (os.fstat(handle).st_size if end is None else end) - begin)
    finally:
        os.close(handle)


def resident_in(handle: int, begin: int, size: int) -> int:
    """Return how many of `size` bytes from `begin` on are in the page cache, counted in whole pages.

    What lies behind the end of the file is not.
    """
    size = min(size, os.fstat(handle).st_size - begin)
    if size <= 0:
        return 0
    try:
        pages = _by_cachestat(handle, begin, size)
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EPERM):  # an older kernel, or a filter that does not know the call
            raise
        pages = _by_mincore(handle, begin, size)
    return min(size, pages * PAGE_BYTES)


def _by_cachestat(handle: int, begin: int, size: int) -> int:
    found = _Stat()
    if _libc.syscall(_CACHESTAT, handle, ctypes.byref(_Range(begin, size)), ctypes.byref(found), 0):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return int(found.cached)


def _by_mincore(handle: int, begin: int, size: int) -> int:
    """The same for kernels before 6.5: it needs a mapping, private and writable only for ctypes to take its address."""
    first = begin - begin % PAGE_BYTES
    size += begin - first
    with mmap.mmap(
        handle, size, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE, offset=first
    ) as mapping:
        pages = -(-size // PAGE_BYTES)
        vector = (ctypes.c_ubyte * pages)()
        held = ctypes.c_char.from_buffer(mapping)
        failed = _libc.mincore(ctypes.c_void_p(ctypes.addressof(held)), ctypes.c_size_t(size), vector)
        del held
        if failed:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return sum(flags & 1 for flags in vector)
