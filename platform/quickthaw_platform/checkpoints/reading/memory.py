"""Memory that loads read into: shared with other processes, faulted in ahead, and kept for the next checkpoint."""

from __future__ import annotations

import contextlib
import mmap
import os
import threading
from collections.abc import Callable

from quickthaw_platform.checkpoints.reading import kernel_memory
from quickthaw_platform.checkpoints.reading.kernel_memory import KernelMemory, fault_in

HUGE_BYTES = 2 << 20
STEP_BYTES = 64 << 20
"""Faulted in at a time; in between it is asked whether to stop."""


class Block:
    """A piece of memory with a descriptor that other processes map. `view` is its first `bytes` bytes, page-aligned."""

    def __init__(self, fd: int, size: int) -> None:
        """Takes over `fd`. Raises OSError (ENOMEM, ENOSPC) where the kernel has no room, with `fd` closed."""
        self.fd = fd
        self.bytes = 0
        self.faulted_bytes = 0
        self._mapping: mmap.mmap | None = None
        self.view = memoryview(b"")
        try:
            self.grow(size)
        except BaseException:
            self.close()
            raise

    @property
    def room_bytes(self) -> int:
        """What it takes of the machine's memory once all of it is faulted in."""
        return 0 if self._mapping is None else len(self._mapping)

    def grow(self, size: int) -> None:
        """Make it at least this large; what was faulted in stays so. Nobody may hold views of it.

        Raises OSError (ENOMEM, ENOSPC) where the kernel has no room; then it is as it was.
        """
        room = max(1, -(-size // HUGE_BYTES)) * HUGE_BYTES
        if room > self.room_bytes:
            os.ftruncate(self.fd, room)
            mapping = mmap.mmap(self.fd, room)  # may fail: the old one goes only afterwards
            with contextlib.suppress(OSError):  # a kernel without huge pages refuses, and has its own small ones
                mapping.madvise(mmap.MADV_HUGEPAGE)
            self._unmap()
            self._mapping = mapping
        self.resize(size)

    def resize(self, size: int) -> None:
        """Have `view` be so many of the bytes that there is room for."""
        assert self._mapping is not None, "a block without a mapping is closed"
        self.bytes = size
        self.view = memoryview(self._mapping)[:size]

    def fault_in(self, stop: Callable[[], bool] = lambda: False) -> None:
        """Have the kernel back all of it with memory, unless `stop` says so before."""
        while self._mapping is not None and self.faulted_bytes < self.room_bytes and not stop():
            step = min(STEP_BYTES, self.room_bytes - self.faulted_bytes)
            fault_in(self._mapping, self.faulted_bytes, step)
            self.faulted_bytes += step

    def close(self) -> None:
        """Give the memory back to the kernel; processes that map it keep it. Idempotent."""
        self._unmap()
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def _unmap(self) -> None:
        """The mapping goes with its last view: one that somebody still has stays good."""
        self.view.release()
        self._mapping = None


class MemoryPool:
    """Any thread may call. A block that is given back is used for the next checkpoint: nobody may map it any more."""

    def __init__(self, kernel: KernelMemory | None = None) -> None:
        """None: the best memory that this kernel gives."""
        self._kernel = kernel or kernel_memory.best()
        self._lock = threading.Lock()  # guards what follows; faulting in happens outside
        self._free: list[Block] = []
        self._taken: list[Block] = []

    @property
    def huge(self) -> bool:
        """Whether blocks are in huge pages."""
        return self._kernel.huge

    @property
    def kind(self) -> kernel_memory.Kind:
        """What blocks are made of."""
        return self._kernel.kind

    @property
    def held_bytes(self) -> int:
        """What all blocks take, free ones included."""
        with self._lock:
            return sum(block.room_bytes for block in (*self._free, *self._taken))

    def take(self, size: int) -> Block:
        """Return a block of this size: the smallest free one with room, else the largest one grown, else a new one.

        Raises OSError (ENOMEM, ENOSPC) where the kernel has no more; nothing is lost then.
        """
        with self._lock:
            block = self._choose(size)
            if block is None:
                block = Block(self._kernel.make(), size)
            else:
                block.grow(size)
                self._free.remove(block)
            self._taken.append(block)
            return block

    def give_back(self, block: Block) -> None:
        """Keep a block for the next one who takes."""
        with self._lock:
            self._taken.remove(block)
            self._free.append(block)

    def prepare(self, size: int, stop: Callable[[], bool] = lambda: False) -> None:
        """Have a free block of at least this size, all of it faulted in. Blocks; OSError where there is no memory."""
        if size <= 0:
            return
        block = self.take(size)
        try:
            block.fault_in(stop)
        finally:
            self.give_back(block)

    def trim(self, keep_bytes: int) -> None:
        """Give free blocks back to the kernel, largest first, until no more than this is held or none is free."""
        while self.held_bytes > keep_bytes:
            with self._lock:
                if not self._free:
                    return
                largest = max(self._free, key=lambda block: block.room_bytes)
                self._free.remove(largest)
            largest.close()

    def close(self) -> None:
        """Give everything back to the kernel. Idempotent."""
        with self._lock:
            for block in (*self._free, *self._taken):
                block.close()
            self._free, self._taken = [], []

    def _choose(self, size: int) -> Block | None:
        roomy = [block for block in self._free if block.room_bytes >= size]
        if roomy:
            return min(roomy, key=lambda block: block.room_bytes)
        return max(self._free, key=lambda block: block.room_bytes, default=None)
