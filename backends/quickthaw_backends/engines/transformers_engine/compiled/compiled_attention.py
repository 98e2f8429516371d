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

from quickthaw_backends.engines.transformers_engine.attention import Segment
from quickthaw_backends.engines.transformers_engine.compiled import attention_code, compiling
from quickthaw_backends.engines.transformers_engine.compiled.compiling import Compiled
from quickthaw_backends.engines.transformers_engine.compiled.vector_code import LANES

ROWS = 32
"""Heads times tokens of a task: as many as share keys that were read, unless more heads than that do."""

_FLOAT_BYTES = 4


class AttentionCall(ctypes.Structure):
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
    _compiled(dimension, rows_of(shared))


def rows_of(shared: int) -> int:
    """Return how many rows a task has at most, where so many heads share keys."""
    return max(ROWS, shared)


@cache
def _compiled(dimension: int, rows: int) -> Compiled:
    return compiling.compile_code(attention_code.code(dimension, rows), attention_code.ENTRY)


class CompiledAttention:
    """Attention in the layers of one step."""

    def __init__(self, segments: Sequence[Segment], heads: int, kv_heads: int, dimension: int, scale: float) -> None:
        self._segments = segments
        self._heads, self._kv_heads, self._dimension = heads, kv_heads, dimension
        self._scale = scale
        self._tasks = _tasks(segments, kv_heads, max(1, ROWS // (heads // kv_heads)))

    def __call__(self, layer: int, rotated: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """Store a layer's keys and values; return [row, heads, dimension], what each token sees.

        `rotated` is [row, heads, dimension] of the queries' heads, and behind them the keys'; `values` has the values'.
        """
        results = rotated.new_empty((len(rotated), self._heads, self._dimension))
        calls, kept = self.calls(range(layer, layer + 1), rotated, values, results)
        _compiled(self._dimension, rows_of(self._heads // self._kv_heads)).run_by_team(calls[0])
        del kept  # what it was called with was in use up to here
        return results

    def calls(
        self, layers: range, rotated: torch.Tensor, values: torch.Tensor, results: torch.Tensor
    ) -> tuple[ctypes.Array[AttentionCall], object]:
        """Return what layers' attention is called with, and what has to be kept until it has been.

        All of them take the same rows of queries, keys and values, and leave the same rows of results.
        """
        memory = np.stack([one.cache.memory()[layers.start : layers.stop] for one in self._segments], 1)
        call = AttentionCall(
            tasks=self._tasks.ctypes.data,
            task_count=len(self._tasks),
            heads=self._heads // self._kv_heads,
            queries=rotated.data_ptr(),
            results=results.data_ptr(),
            new_keys=rotated.data_ptr() + self._heads * self._dimension * _FLOAT_BYTES,
            new_values=values.data_ptr(),
            query_bytes=rotated.stride(0) * _FLOAT_BYTES,
            result_bytes=results.stride(0) * _FLOAT_BYTES,
            value_bytes=values.stride(0) * _FLOAT_BYTES,
            scale=self._scale,
        )
        calls = (AttentionCall * len(layers))(*[call] * len(layers))
        for own, of_requests in zip(calls, memory, strict=True):
            own.memory = of_requests.ctypes.data
        return calls, (memory, self._tasks)


def _tasks(segments: Sequence[Segment], kv_heads: int, together: int) -> NDArray[np.int64]:
    """Return the tasks of a step, [task, field]: see `attention_code`."""
    found = [
        (index, head, segment.begin + first, segment.past + first, min(together, segment.count - first))
        for index, segment in enumerate(segments)
        for first in range(0, segment.count, together)
        for head in range(kv_heads)
    ]
    return np.array(found, dtype=np.int64)
