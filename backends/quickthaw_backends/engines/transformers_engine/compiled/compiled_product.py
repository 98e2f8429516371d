"""Products of float32 rows with weights of 32, 16 or 8 bits, computed by code that is compiled for this processor.

Weights are read as they are stored and widened in registers, once for up to eight rows. So a single row takes as long
as reading the weights does, and eight rows hardly longer. A row's result is the same to the last bit with any other
rows and on any number of threads: see `product_code`.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Sequence
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray

from quickthaw_backends.engines.transformers_engine.compiled import compiling, product_code
from quickthaw_backends.engines.transformers_engine.compiled.compiling import Compiled
from quickthaw_backends.engines.transformers_engine.compiled.product_code import STRIP, Tile
from quickthaw_backends.engines.transformers_engine.compiled.vector_code import LANES

_TILES_OF_32_REGISTERS: tuple[Tile, ...] = ((1, 8), (2, 8), (4, 4), (8, 2))
_TILES_OF_FEWER: tuple[Tile, ...] = ((1, 4), (2, 2), (4, 1))
"""Where 16 sums do not fit into one register."""

Longs = NDArray[np.int64]

DTYPES = {getattr(torch, name): name for name in product_code.STORED}


class _Matrix(ctypes.Structure):
    """Weights, strip by strip."""

    _fields_ = (
        ("strips", ctypes.c_void_p),  # the address of each strip's first weight
        ("places", ctypes.c_void_p),  # which output each strip begins with
        ("strip_count", ctypes.c_int64),
        ("inputs", ctypes.c_int64),
        ("outputs", ctypes.c_int64),
        ("scales", ctypes.c_void_p),  # float32 of each output, by which it is multiplied
        ("biases", ctypes.c_void_p),  # and what is then added
    )


class _Call(ctypes.Structure):
    """What is to be multiplied."""

    _fields_ = (
        ("matrix", ctypes.c_void_p),
        ("rows", ctypes.c_void_p),
        ("results", ctypes.c_void_p),
        ("row_count", ctypes.c_int64),
        ("taken", ctypes.c_int64),  # strips, by the threads so far
    )


class CompiledProduct:
    """The product with weights that lie side by side, [outputs, inputs] each; they must have arrived."""

    def __init__(
        self, weights: Sequence[torch.Tensor], scale: torch.Tensor | None = None, bias: torch.Tensor | None = None
    ) -> None:
        """The weights are some that `takes` accepts; they are used where they are.

        `scale` and `bias` are of the outputs; missing ones change nothing.
        """
        self.outputs = sum(len(weight) for weight in weights)
        self._weights = tuple(weights)
        self._scale = torch.ones(self.outputs) if scale is None else scale.float().contiguous()
        self._bias = torch.zeros(self.outputs) if bias is None else bias.float().contiguous()
        self._strips, self._places = _strips(weights)
        self._matrix = _Matrix(
            self._strips.ctypes.data,
            self._places.ctypes.data,
            len(self._strips),
            weights[0].shape[1],
            self.outputs,
            self._scale.data_ptr(),
            self._bias.data_ptr(),
        )
        self.address = ctypes.addressof(self._matrix)
        """Of the matrix, as `product_code` has it."""
        self._code = compiled(weights[0].dtype)

    def __call__(self, rows: torch.Tensor, into: torch.Tensor | None = None) -> torch.Tensor:
        """Return [n, outputs] for float32 rows, [n, inputs]; `into` is memory that is given for the result."""
        if rows.dtype != torch.float32 or rows.shape[1] != self._matrix.inputs:
            raise ValueError(f"rows are {self._matrix.inputs} of float32, not {rows.shape[1]} of {rows.dtype}")
        rows = rows.contiguous()
        results = rows.new_empty((len(rows), self.outputs)) if into is None else into
        call = _Call(self.address, rows.data_ptr(), results.data_ptr(), len(rows))
        self._code.run_by_team(call)
        return results


def takes(weights: Sequence[torch.Tensor]) -> bool:
    """Whether there is code here for these weights."""
    return compiling.why_not() is None and all(
        weight.dtype == weights[0].dtype in DTYPES
        and weight.is_contiguous()
        and len(weight) >= STRIP
        and weight.shape[1] % LANES == 0
        for weight in weights
    )


def have_code(dtypes: Iterable[torch.dtype]) -> None:
    """Compile for weights of these types, as far as that can be, so that forks of this process need not."""
    if compiling.why_not() is None:
        for dtype in DTYPES.keys() & dtypes:
            compiled(dtype)


@cache
def compiled(dtype: torch.dtype) -> Compiled:
    """Return the code for weights of a type."""
    return compiling.compile_code(product_code.code(DTYPES[dtype], tiles()), product_code.ENTRY)


def tiles() -> Sequence[Tile]:
    """Return the tiles for this processor's registers."""
    return _TILES_OF_32_REGISTERS if compiling.features().get("avx512f") else _TILES_OF_FEWER


def _strips(weights: Sequence[torch.Tensor]) -> tuple[Longs, Longs]:
    """Return the address of each strip, and the output that it begins with.

    A weight's last strip overlaps the one before where its outputs are no multiple of a strip: they are computed twice.
    """
    strips: list[Longs] = []
    places: list[Longs] = []
    before = 0
    for weight in weights:
        firsts = np.minimum(np.arange(0, len(weight), STRIP, dtype=np.int64), len(weight) - STRIP)
        strips.append(weight.data_ptr() + firsts * (weight.shape[1] * weight.element_size()))
        places.append(before + firsts)
        before += len(weight)
    return np.concatenate(strips), np.concatenate(places)
