"""Products with several weights at once, as a lean decoder needs them: all of them take the same rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import torch
import torch.nn.functional as functional

from quickthaw_backends.engines.transformers_engine.linear import (
    SCRATCH_ELEMENTS,
    TURN_ROWS,
    HybridLinear,
    MixedLinear,
    narrowed,
    scratch_of,
)


class Product(Protocol):
    """Several linear layers as one."""

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        """Return [n, outputs] in float32 for float32 rows, [n, inputs]: what the layers would, side by side."""


def product_of(layers: Sequence[HybridLinear]) -> Product:
    """Return the product of layers that all compute in one way. The weights must have arrived."""
    return MixedProduct(layers) if isinstance(layers[0], MixedLinear) else SteadyProduct(layers)


class MixedProduct:
    """In bfloat16, as `MixedLinear` does."""

    def __init__(self, layers: Sequence[HybridLinear]) -> None:
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


class SteadyProduct:
    """In float32, block by block."""

    def __init__(self, layers: Sequence[HybridLinear]) -> None:
        """The weights must have arrived; they are used where they are."""
        self._weights = [layer.weight for layer in layers]
        self._outputs = sum(len(weight) for weight in self._weights)
        self._inputs = self._weights[0].shape[1]
        self._blocks = list(_blocks(self._weights, max(1, SCRATCH_ELEMENTS // self._inputs)))
        self._bias = _joined([layer.bias for layer in layers], self._weights)

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        """Return the product; it need not be contiguous."""
        turned = len(rows) < TURN_ROWS
        result = rows.new_empty((self._outputs, len(rows)) if turned else (len(rows), self._outputs))
        begin = 0
        for pieces in self._blocks:
            block = _widened(pieces)
            end = begin + len(block)
            if turned:
                torch.mm(block, rows.t(), out=result[begin:end])
            else:
                torch.mm(rows, block.t(), out=result[:, begin:end])
            begin = end
        if turned:
            result = result.t()
        return result if self._bias is None else result + self._bias


def _blocks(weights: Sequence[torch.Tensor], height: int) -> Iterator[list[torch.Tensor]]:
    """Cut the weights, one after the other, into pieces that are computed together: of at most `height` outputs.

    One of 32 bits is a piece of its own: nothing of it has to be cast.
    """
    pieces: list[torch.Tensor] = []
    room = height
    for weight in weights:
        if weight.dtype == torch.float32:
            yield from ([weight],)
            continue
        begin = 0
        while begin < len(weight):
            piece = weight[begin : begin + room]
            pieces.append(piece)
            begin, room = begin + len(piece), room - len(piece)
            if not room:
                yield pieces
                pieces, room = [], height
    if pieces:
        yield pieces


def _widened(pieces: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return the pieces one below the other in float32: in this thread's scratch, unless they are so."""
    if pieces[0].dtype == torch.float32:
        return pieces[0]
    outputs, inputs = sum(len(piece) for piece in pieces), pieces[0].shape[1]
    block = scratch_of(outputs * inputs)[: outputs * inputs].view(outputs, inputs)
    begin = 0
    for piece in pieces:
        block[begin : begin + len(piece)].copy_(piece)
        begin += len(piece)
    return block


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
