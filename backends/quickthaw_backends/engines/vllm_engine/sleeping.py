"""How a vLLM engine sleeps: by vLLM's own sleep mode on a GPU; on a CPU, where vLLM has none, by giving back pages."""

from __future__ import annotations

import ctypes
import mmap
import os
from typing import Any

from vllm.platforms import current_platform

WEIGHTS_TO_HOST = 1
"""vLLM's level of sleep that keeps the weights in the host's memory and drops keys and values."""

_libc = ctypes.CDLL(None, use_errno=True)
_libc.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)


def fall_asleep(engine: Any) -> None:
    """Have an `LLMEngine` that runs nothing give back keys and values, and the memory of a GPU. Raises OSError."""
    if current_platform.is_cpu():
        engine.reset_prefix_cache()
        engine.collective_rpc(_give_back_cache)
    else:
        engine.sleep(level=WEIGHTS_TO_HOST)


def wake_up(engine: Any) -> None:
    """Have an `LLMEngine` that sleeps take requests again."""
    if not current_platform.is_cpu():
        engine.wake_up()


def _give_back_cache(worker: Any) -> None:
    """Give the pages of the KV cache back to the system: read again they are zeros, as they were at the start."""
    for start, size in {_extent(tensor) for tensor in worker.model_runner.kv_caches}:
        first, end = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE, (start + size) // mmap.PAGESIZE * mmap.PAGESIZE
        if end > first and _libc.madvise(first, end - first, mmap.MADV_DONTNEED):
            raise OSError(ctypes.get_errno(), f"the KV cache was not given back: {os.strerror(ctypes.get_errno())}")


def _extent(tensor: Any) -> tuple[int, int]:
    """Return where the memory behind a tensor begins, and its bytes."""
    storage = tensor.untyped_storage()
    return storage.data_ptr(), storage.nbytes()
