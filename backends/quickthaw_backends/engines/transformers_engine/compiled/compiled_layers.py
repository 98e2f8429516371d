"""A decoder's layers, computed from end to end by code that is compiled for this processor: see `layers_code`."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import torch

from quickthaw_backends.engines.transformers_engine.attention import Segment
from quickthaw_backends.engines.transformers_engine.compiled import compiled_attention, compiling, layers_code
from quickthaw_backends.engines.transformers_engine.compiled.compiled_attention import AttentionCall, CompiledAttention
from quickthaw_backends.engines.transformers_engine.compiled.compiled_product import DTYPES, CompiledProduct, tiles
from quickthaw_backends.engines.transformers_engine.compiled.compiling import Compiled


class _Layer(ctypes.Structure):
    """A layer's weights."""

    _fields_ = (
        ("before_attention", ctypes.c_void_p),  # weights of the norm, float32
        ("before_mlp", ctypes.c_void_p),
        ("inner", ctypes.c_void_p),  # matrices: see `CompiledProduct.address`
        ("outer", ctypes.c_void_p),
        ("gate_and_up", ctypes.c_void_p),
        ("down", ctypes.c_void_p),
    )


class _Call(ctypes.Structure):
    """What is to be computed, and memory for what is between."""

    _fields_ = (
        ("layers", ctypes.c_void_p),
        ("layer_count", ctypes.c_int64),
        ("attention", ctypes.c_void_p),  # what each layer's attention is called with
        ("taken", ctypes.c_void_p),  # of each product, how many strips the threads have taken
        ("rows", ctypes.c_int64),
        ("width", ctypes.c_int64),
        ("gates", ctypes.c_int64),
        ("rotated_heads", ctypes.c_int64),
        ("inner_heads", ctypes.c_int64),
        ("hidden", ctypes.c_void_p),
        ("added", ctypes.c_void_p),
        ("normed", ctypes.c_void_p),
        ("inner", ctypes.c_void_p),
        ("rotated", ctypes.c_void_p),
        ("attended", ctypes.c_void_p),
        ("gated", ctypes.c_void_p),
        ("active", ctypes.c_void_p),
        ("cos", ctypes.c_void_p),
        ("sin", ctypes.c_void_p),
        ("epsilon", ctypes.c_float),
    )


@dataclass(frozen=True, slots=True)
class Heads:
    """The heads of a model: of queries, of keys, and how many numbers each has."""

    queries: int
    keys: int
    dimension: int
    scale: float


@dataclass(frozen=True, slots=True)
class LayerWeights:
    """A layer's weights, which have arrived."""

    before_attention: torch.Tensor
    before_mlp: torch.Tensor
    inner: CompiledProduct
    outer: CompiledProduct
    gate_and_up: CompiledProduct
    down: CompiledProduct


def have_code(dtype: torch.dtype, heads: Heads) -> None:
    """Compile for weights of a type and for these heads, so that forks of this process need not."""
    _compiled(dtype, heads.dimension, compiled_attention.rows_of(heads.queries // heads.keys))


@cache
def _compiled(dtype: torch.dtype, dimension: int, rows: int) -> Compiled:
    code = layers_code.code(DTYPES[dtype], tiles(), dimension, rows, ctypes.sizeof(AttentionCall))
    return compiling.compile_code(code, layers_code.ENTRY)


class CompiledLayers:
    """Layers one after the other. Their weights are of one type."""

    def __init__(self, layers: Sequence[LayerWeights], dtype: torch.dtype, heads: Heads, epsilon: float) -> None:
        self._layers = layers
        self._heads = heads
        self._epsilon = epsilon
        self._code = _compiled(dtype, heads.dimension, compiled_attention.rows_of(heads.queries // heads.keys))
        self._table = (_Layer * len(layers))(*(_table_row(layer) for layer in layers))
        self._gates = layers[0].gate_and_up.outputs // 2

    def __call__(
        self, first: int, hidden: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, segments: Sequence[Segment]
    ) -> torch.Tensor:
        """Return what the layers make of `hidden`, [row, width] of float32; the first of them has this index.

        `cos` and `sin` are [row, dimension] by the rows' positions, the first half of the sines being negated.
        """
        heads, rows = self._heads, len(hidden)
        rotated_heads = heads.queries + heads.keys
        inner_heads = rotated_heads + heads.keys
        hidden = hidden.clone()
        added = torch.zeros_like(hidden)
        normed = torch.empty_like(hidden)
        inner, rotated, attended = (
            hidden.new_empty((rows, count, heads.dimension)) for count in (inner_heads, rotated_heads, heads.queries)
        )
        gated, active = (hidden.new_empty((rows, count * self._gates)) for count in (2, 1))
        attention = CompiledAttention(segments, heads.queries, heads.keys, heads.dimension, heads.scale)
        calls, kept = attention.calls(
            range(first, first + len(self._layers)), rotated, inner[:, rotated_heads:], attended
        )
        taken = torch.zeros(len(self._layers) * layers_code.PRODUCTS, dtype=torch.int64)
        call = _Call(
            ctypes.addressof(self._table),
            len(self._layers),
            ctypes.addressof(calls),
            taken.data_ptr(),
            rows,
            hidden.shape[1],
            self._gates,
            rotated_heads,
            inner_heads,
            *(each.data_ptr() for each in (hidden, added, normed, inner, rotated, attended, gated, active, cos, sin)),
            self._epsilon,
        )
        self._code.run_by_team(call)
        del kept  # what attention was called with was in use up to here
        return hidden.add_(added)


def _table_row(layer: LayerWeights) -> _Layer:
    products = (layer.inner, layer.outer, layer.gate_and_up, layer.down)
    norms = (layer.before_attention, layer.before_mlp)
    return _Layer(*(weight.data_ptr() for weight in norms), *(product.address for product in products))
