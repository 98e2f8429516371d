"""Products with several weights at once, as a lean decoder needs them: all of them take the same rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
import torch.nn.functional as functional

from quickthaw_backends.engines.transformers_engine.compiled.compiled_product import CompiledProduct
from quickthaw_backends.engines.transformers_engine.int8 import Int8Linear
from quickthaw_backends.engines.transformers_engine.linear import MixedLinear, SteadyLinear, narrowed
from quickthaw_backends.engines.transformers_engine.steady_product import steady_product


class Product(Protocol):
    """Several linear layers as one."""

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        """Return [n, outputs] in float32 for float32 rows, [n, inputs]: what the layers would, side by side."""


def product_of(layers: Sequence[SteadyLinear] | Sequence[Int8Linear]) -> Product:
    """Return the product of layers that all compute in one way. The weights must have arrived."""
    mixed = [layer for layer in layers if isinstance(layer, MixedLinear)]
    return MixedProduct(mixed) if mixed else _Steady(layers)


def compiled_product_of(layers: Sequence[SteadyLinear] | Sequence[Int8Linear]) -> CompiledProduct:
    """Return the compiled product of layers whose weights it takes, and which have arrived."""
    weights = [layer.weight for layer in layers]
    return CompiledProduct(weights, _scales(layers), _joined([layer.bias for layer in layers], weights))


class MixedProduct:
    """In bfloat16, as `MixedLinear` does."""

    def __init__(self, layers: Sequence[SteadyLinear]) -> None:
        self._weights = [layer.weight for layer in layers]
        self._outputs = sum(len(weight) for weight in self._weights)
        self._bias = _joined([layer.bias for layer in layers], self._weights)

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        """Return the product."""
        narrow = narrowed(rows)
        result = torch.empty((len(rows), self._outputs), dtype=torch.float32)
        begin = 0
        for weight in self._weights:
            end = begin + len(weight)
            result[:, begin:end] = functional.linear(narrow, weight)[: len(rows)]
            begin = end
        return result if self._bias is None else result + self._bias

    def gated(self, rows: torch.Tensor) -> torch.Tensor:
        """Return silu(first) * second of two layers in bfloat16: both are rounded, as transformers' modules do."""
        gate, up = (functional.linear(narrowed(rows), weight)[: len(rows)] for weight in self._weights)
        if self._bias is not None:
            gate, up = (half + bias.bfloat16() for half, bias in zip((gate, up), self._bias.chunk(2), strict=True))
        return functional.silu(gate).mul_(up)


class _Steady:
    """In float32: see `steady_product`."""

    def __init__(self, layers: Sequence[SteadyLinear] | Sequence[Int8Linear]) -> None:
        weights = [layer.weight for layer in layers]
        self._product = steady_product(weights)
        self._scale = _scales(layers)
        self._bias = _joined([layer.bias for layer in layers], weights)

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        """Return the product."""
        result = self._product(rows)
        if self._scale is not None:
            result *= self._scale
        return result if self._bias is None else result + self._bias


def _scales(layers: Sequence[SteadyLinear] | Sequence[Int8Linear]) -> torch.Tensor | None:
    """Return the scales of the outputs side by side; None: there are none."""
    scales = [layer.scale for layer in layers if isinstance(layer, Int8Linear)]
    return torch.cat(scales) if scales else None


def _joined(biases: Sequence[torch.Tensor | None], weights: Sequence[torch.Tensor]) -> torch.Tensor | None:
    """Return the biases side by side, zeros for those that are missing; None: there are none."""
    if all(bias is None for bias in biases):
        return None
    return torch.cat(
        [
            torch.zeros(len(weight)) if bias is None else bias.float()
            for bias, weight in zip(biases, weights, strict=True)
        ]
    )
