"""Products in float32 with weights as they are stored: a row's result does not depend on how many rows there are.

`compiled_product` computes them, to the last bit alike. What it does not take (weights that are stored by inputs, or a
processor without the instructions) goes block by block: weights are cast into a small float32 scratch that stays in
the processor's cache, and multiplied there by torch, whose results differ by 1e-6 at most.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Protocol

import torch

from quickthaw_backends.engines.transformers_engine.compiled import compiled_product, compiling

SCRATCH_ELEMENTS = 1 << 20
"""Of a block: 4 MiB of float32, as the shared cache holds; smaller ones cost more in calls than they save."""

TURN_ROWS = 32
"""Below so many rows a block times the rows transposed is faster than the rows times the block."""

BY_BLOCKS = "products are computed block by block, which takes up to three times as long: %s"
_log = logging.getLogger(__name__)
_scratch = threading.local()


class SteadyProduct(Protocol):
    """The product with several weights of [outputs, inputs] that lie side by side."""

    def __call__(self, rows: torch.Tensor, into: torch.Tensor | None = None) -> torch.Tensor:
        """Return [n, outputs] in float32 for float32 rows, [n, inputs]: in `into`, where memory is given for it."""


def steady_product(weights: Sequence[torch.Tensor]) -> SteadyProduct:
    """Return the product with weights that have arrived; they are used where they are."""
    if compiled_product.takes(weights):
        return compiled_product.CompiledProduct(weights)
    _say_why()
    return BlockProduct(weights)


@cache
def _say_why() -> None:
    reason = compiling.why_not()
    if reason is not None:
        _log.warning(BY_BLOCKS, reason)


class BlockProduct:
    """The product, block by block."""

    def __init__(self, weights: Sequence[torch.Tensor]) -> None:
        """Take the weights as they are."""
        self._outputs = sum(len(weight) for weight in weights)
        self._blocks = list(_blocks(weights, max(1, SCRATCH_ELEMENTS // weights[0].shape[1])))

    def __call__(self, rows: torch.Tensor, into: torch.Tensor | None = None) -> torch.Tensor:
        """Return the product."""
        results = rows.new_empty((len(rows), self._outputs)) if into is None else into
        turned = rows.new_empty((self._outputs, len(rows))) if len(rows) < TURN_ROWS else None
        begin = 0
        for pieces in self._blocks:
            block = _widened(pieces)
            end = begin + len(block)
            if turned is None:
                torch.mm(rows, block.t(), out=results[:, begin:end])
            else:
                torch.mm(block, rows.t(), out=turned[begin:end])
            begin = end
        return results if turned is None else results.copy_(turned.t())


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
    block = _scratch_of(outputs * inputs)[: outputs * inputs].view(outputs, inputs)
    begin = 0
    for piece in pieces:
        block[begin : begin + len(piece)].copy_(piece)
        begin += len(piece)
    return block


def _scratch_of(elements: int) -> torch.Tensor:
    """Return this thread's scratch, made larger where needed."""
    held: torch.Tensor | None = getattr(_scratch, "block", None)
    if held is None or held.numel() < elements:
        with torch.inference_mode(False):  # made inside of it, it could not be written outside of it
            held = _scratch.block = torch.empty(max(elements, SCRATCH_ELEMENTS), dtype=torch.float32)
    return held
