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
_KEYS, _VALUES, _QUERIES, _RESULTS, _POSITION, _TOKENS = range(attention_code.TASK_FIELDS)

Longs = NDArray[np.int64]


class _Call(ctypes.Structure):
    """What is to be computed."""

    _fields_ = (
        ("tasks", ctypes.c_void_p),
        ("task_count", ctypes.c_int64),
        ("heads", ctypes.c_int64),  # that share keys
        ("query_bytes", ctypes.c_int64),  # from a token's to the next one's
        ("result_bytes", ctypes.c_int64),
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
        self._kv_heads, self._shared, self._dimension = kv_heads, heads // kv_heads, dimension
        self._scale = scale
        self._code = _compiled(dimension, max(ROWS, self._shared))
        owner, tokens, heads_of, row = _tasks(segments, kv_heads, max(1, ROWS // self._shared))
        self._owner, self._heads_of, self._row = owner, heads_of, row
        self._fields = np.empty((len(owner), attention_code.TASK_FIELDS), dtype=np.int64)
        begins, pasts = (np.array([getattr(one, name) for one in segments])[owner] for name in ("begin", "past"))
        self._fields[:, _POSITION] = pasts + row - begins
        self._fields[:, _TOKENS] = tokens

    def __call__(self, layer: int, queries: torch.Tensor) -> torch.Tensor:
        """Return [row, heads, dimension] for `queries`, [row, heads or more, dimension], whose heads come first.

        The keys and values of these tokens have been stored.
        """
        head_bytes = self._dimension * _FLOAT_BYTES
        results = queries.new_empty((len(queries), self._kv_heads * self._shared, self._dimension))
        stored = [segment.cache.memory(layer) for segment in self._segments]
        keys, values, stride = np.array(stored, dtype=np.int64)[self._owner].T
        query_bytes, result_bytes = (tensor.stride(0) * _FLOAT_BYTES for tensor in (queries, results))
        first_head = self._heads_of * (self._shared * head_bytes)
        fields = self._fields
        fields[:, _KEYS] = keys + self._heads_of * stride
        fields[:, _VALUES] = values + self._heads_of * stride
        fields[:, _QUERIES] = queries.data_ptr() + self._row * query_bytes + first_head
        fields[:, _RESULTS] = results.data_ptr() + self._row * result_bytes + first_head
        call = _Call(fields.ctypes.data, len(fields), self._shared, query_bytes, result_bytes, self._scale)
        self._code.run_by_team(call)
        return results


def _tasks(segments: Sequence[Segment], kv_heads: int, together: int) -> tuple[Longs, Longs, Longs, Longs]:
    """Return of each task which segment it is of, how many tokens it has, which keys' head, and its first row."""
    found = [
        (index, min(together, segment.count - first), head, segment.begin + first)
        for index, segment in enumerate(segments)
        for first in range(0, segment.count, together)
        for head in range(kv_heads)
    ]
    owner, tokens, heads, row = np.array(found, dtype=np.int64).T
    return owner, tokens, heads, row
