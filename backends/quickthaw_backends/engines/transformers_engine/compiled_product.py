"""Products of float32 rows with weights of 32, 16 or 8 bits, computed by code that is compiled for this processor.

Weights are read as they are stored and widened in registers, once for up to eight rows. So a single row takes as long
as reading the weights does, and eight rows hardly longer. A row's result is the same to the last bit with any other
rows and on any number of threads: see `product_code`.

The code runs on torch's own threads, by the OpenMP library that torch has loaded.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import llvmlite.binding as llvm
import numpy as np
import torch
from numpy.typing import NDArray

from quickthaw_backends.engines.transformers_engine import product_code
from quickthaw_backends.engines.transformers_engine.product_code import LANES, STRIP, Tile

OPENMP = "libgomp.so.1"

_TILES_OF_32_REGISTERS: tuple[Tile, ...] = ((1, 8), (2, 8), (4, 4), (8, 2))
_TILES_OF_FEWER: tuple[Tile, ...] = ((1, 4), (2, 2), (4, 1))
"""Where 16 sums do not fit into one register."""

Longs = NDArray[np.int64]

_DTYPES = {getattr(torch, name): name for name in product_code.STORED}


class _Matrix(ctypes.Structure):
    """Weights, strip by strip."""

    _fields_ = (
        ("strips", ctypes.c_void_p),  # the address of each strip's first weight
        ("places", ctypes.c_void_p),  # which output each strip begins with
        ("strip_count", ctypes.c_int64),
        ("inputs", ctypes.c_int64),
        ("outputs", ctypes.c_int64),
    )


class _Call(ctypes.Structure):
    """What is to be multiplied."""

    _fields_ = (
        ("matrix", ctypes.c_void_p),
        ("rows", ctypes.c_void_p),
        ("results", ctypes.c_void_p),
        ("row_count", ctypes.c_int64),
    )


class _Compiled(NamedTuple):
    address: int
    keeps: object  # the code's memory


class CompiledProduct:
    """The product with weights that lie side by side, [outputs, inputs] each; they must have arrived."""

    def __init__(self, weights: Sequence[torch.Tensor]) -> None:
        """The weights are some that `takes` accepts; they are used where they are."""
        self.outputs = sum(len(weight) for weight in weights)
        self._weights = tuple(weights)
        self._strips, self._places = _strips(weights)
        self._matrix = _Matrix(
            self._strips.ctypes.data, self._places.ctypes.data, len(self._strips), weights[0].shape[1], self.outputs
        )
        self._code = compiled(weights[0].dtype).address
        self._run_by_team = _openmp().GOMP_parallel

    def __call__(self, rows: torch.Tensor, into: torch.Tensor | None = None) -> torch.Tensor:
        """Return [n, outputs] for float32 rows, [n, inputs]; `into` is memory that is given for the result."""
        rows = rows.contiguous()
        results = rows.new_empty((len(rows), self.outputs)) if into is None else into
        call = _Call(ctypes.addressof(self._matrix), rows.data_ptr(), results.data_ptr(), len(rows))
        self._run_by_team(self._code, ctypes.addressof(call), 0, 0)  # as many threads as torch computes with here
        return results


def takes(weights: Sequence[torch.Tensor]) -> bool:
    """Whether there is code here for these weights."""
    return why_not() is None and all(
        weight.dtype == weights[0].dtype in _DTYPES
        and weight.is_contiguous()
        and len(weight) >= STRIP
        and weight.shape[1] % LANES == 0
        for weight in weights
    )


def have_code(dtypes: Iterable[torch.dtype]) -> None:
    """Compile for weights of these types, as far as that can be, so that forks of this process need not."""
    if why_not() is None:
        for dtype in _DTYPES.keys() & dtypes:
            compiled(dtype)


@cache
def why_not() -> str | None:
    """Say why nothing can be compiled for this processor or for this torch; None: it can."""
    if _features().get("fma", True):
        try:
            _openmp()
        except OSError:
            return f"torch does not compute with {OPENMP}"
        return None
    return "this processor does not multiply and add in one step"


@cache
def compiled(dtype: torch.dtype) -> _Compiled:
    """Return the code for weights of a type. Compiling takes this thread 0.2 s, once; a fork of the process has it."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    for name in (product_code.THREAD_INDEX, product_code.THREAD_COUNT):
        llvm.add_symbol(name, ctypes.cast(getattr(_openmp(), name), ctypes.c_void_p).value)
    tiles = _TILES_OF_32_REGISTERS if _features().get("avx512f") else _TILES_OF_FEWER
    return _compile(product_code.code(_DTYPES[dtype], tiles), llvm.get_host_cpu_name(), _features())


def _compile(code: str, processor: str, features: Mapping[str, bool]) -> _Compiled:
    module: Any = llvm.parse_assembly(code)
    flags = ",".join(f"{'+' if there else '-'}{name}" for name, there in features.items())
    machine = llvm.Target.from_default_triple().create_target_machine(cpu=processor, features=flags, opt=2)
    passes = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=2))
    passes.getModulePassManager().run(module, passes)
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    return _Compiled(engine.get_function_address(product_code.ENTRY), engine)


@cache
def _features() -> Mapping[str, bool]:
    return dict(llvm.get_host_cpu_features())


@cache
def _openmp() -> ctypes.CDLL:
    """Return the OpenMP library that torch has loaded; OSError: it has another one."""
    library = ctypes.CDLL(OPENMP, os.RTLD_NOLOAD)
    library.GOMP_parallel.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint)
    library.GOMP_parallel.restype = None
    return library


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
