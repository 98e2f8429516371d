"""Attention of float32 queries, computed by code that is compiled for this processor: see `attention_code`.

The tokens of a request are taken some at a time, so that a key that was read serves several; a request's heads that
share keys and values are computed together.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray

from quickthaw_backends.engines.transformers_engine import attention_code, compiling
from quickthaw_backends.engines.transformers_engine.attention import Segment
from quickthaw_backends.engines.transformers_engine.compiling import Compiled
from quickthaw_backends.engines.transformers_engine.vector_code import LANES

ROWS = 32
"""Heads times tokens of a task: as many as share keys that were read, unless more heads than that do."""

_FLOAT_BYTES = 4


class _Call(ctypes.Structure):
    """What is to be computed."""

    _fields_ = (
        ("tasks", ctypes.c_void_p),
        ("task_count", ctypes.c_int64),
        ("heads", ctypes.c_int64),  # of queries, that share a head of keys
        ("memory", ctypes.c_void_p),  # of each request, what `SequenceCache.memory` says
        ("queries", ctypes.c_void_p),
        ("results", ctypes.c_void_p),
        ("new_keys", ctypes.c_void_p),
        ("new_values", ctypes.c_void_p),
        ("query_bytes", ctypes.c_int64),  # from a row of queries and new keys to the next
        ("result_bytes", ctypes.c_int64),
        ("value_bytes", ctypes.c_int64),
        ("scale", ctypes.c_float),
    )


def takes(dimension: int) -> bool:
    """Whether there is code here for heads of so many numbers, all of float32."""
    return compiling.why_not() is None and dimension % LANES == 0


def have_code(dimension: int, shared: int) -> None:
    """Compile for heads of so many numbers, `shared` of which have keys in common, so that forks need not."""
    if takes(dimension):
        _compiled(dimension, max(ROWS, shared))


@cache
def _compiled(dimension: int, rows: int) -> Compiled:
    return compiling.compile_code(attention_code.code(dimension, rows), attention_code.ENTRY)


class CompiledAttention:
    """Attention in the layers of one step."""

    def __init__(self, segments: Sequence[Segment], heads: int, kv_heads: int, dimension: int, scale: float) -> None:
        self._segments = segments
        self._heads, self._kv_heads, self._dimension = heads, kv_heads, dimension
        self._scale = scale
        shared = heads // kv_heads
        self._code = _compiled(dimension, max(ROWS, shared))
        self._tasks = _tasks(segments, kv_heads, max(1, ROWS // shared))

    def __call__(self, layer: int, rotated: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """Store a layer's keys and values; return [row, heads, dimension], what each token sees.

        `rotated` is [row, heads, dimension] of the queries' heads, and behind them the keys'; `values` has the values'.
        """
        rows, heads = len(rotated), self._heads
        results = rotated.new_empty((rows, heads, self._dimension))
        memory = [
            number
            for segment in self._segments
            for number in segment.cache.memory(layer, self._kv_heads, self._dimension)
        ]
        call = _Call(
            tasks=self._tasks.ctypes.data,
            task_count=len(self._tasks),
            heads=heads // self._kv_heads,
            memory=ctypes.addressof(of_requests := (ctypes.c_int64 * len(memory))(*memory)),
            queries=rotated.data_ptr(),
            results=results.data_ptr(),
            new_keys=rotated.data_ptr() + heads * self._dimension * _FLOAT_BYTES,
            new_values=values.data_ptr(),
            query_bytes=rotated.stride(0) * _FLOAT_BYTES,
            result_bytes=heads * self._dimension * _FLOAT_BYTES,
            value_bytes=values.stride(0) * _FLOAT_BYTES,
            scale=self._scale,
        )
        self._code.run_by_team(call)
        del of_requests  # its memory was in use up to here
        return results


def _tasks(segments: Sequence[Segment], kv_heads: int, together: int) -> NDArray[np.int64]:
    """Return the tasks of a step, [task, field]: see `attention_code`."""
    found = [
        (index, head, segment.begin + first, segment.past + first, min(together, segment.count - first))
        for index, segment in enumerate(segments)
        for first in range(0, segment.count, together)
        for head in range(kv_heads)
    ]
    return np.array(found, dtype=np.int64)
