"""Weights that still arrive while the model is built and first used: each layer waits for its own, and no longer."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from torch import nn
from torch.utils.hooks import RemovableHandle
from transformers.pytorch_utils import Conv1D

from quickthaw_backends.engines.transformers_engine.int8 import Int8Embedding, Int8Linear
from quickthaw_backends.engines.transformers_engine.linear import HybridLinear
from quickthaw_backends.engines.transformers_engine.mapping import MappedTensor
from quickthaw_platform.checkpoints.arrival import Arrival

_ALWAYS_CALLED = (nn.Linear, Conv1D, nn.Embedding, HybridLinear, Int8Linear, Int8Embedding)
"""Modules that no model reads the weights of without calling them. Norms are others: see `_is_called`."""


class ArrivingWeights:
    """Where each tensor ends, and how far its file has come. A fork may go on using its parent's."""

    def __init__(self, arrival: Arrival, tensors: Mapping[str, MappedTensor], sizes: Sequence[int]) -> None:
        """`sizes` are those of the weights files."""
        self._arrival = arrival
        self._sizes = sizes
        self._ends = {tensor.tensor.data_ptr(): (tensor.file, tensor.end) for tensor in tensors.values()}
        self.waited_seconds = 0.0

    @property
    def complete(self) -> bool:
        """Whether all weights are there. Raises StartFailed with the cause where they will never be."""
        return self._arrival.complete

    def places(self, module: nn.Module) -> list[tuple[int, int]]:
        """Return where (file, end) the tensors end that a module has itself and that come from the files."""
        own = (*module.parameters(recurse=False), *module.buffers(recurse=False))
        return [self._ends[tensor.data_ptr()] for tensor in own if tensor.data_ptr() in self._ends]

    def wait_for(self, places: Sequence[tuple[int, int]]) -> None:
        """Return when the files have come so far."""
        began = time.perf_counter()
        for file, end in places:
            self._arrival.wait(file, end)
        self.waited_seconds += time.perf_counter() - began

    def wait_for_all(self) -> None:
        """Return when everything has arrived."""
        began = time.perf_counter()
        self._arrival.wait_for_all(self._sizes)
        self.waited_seconds += time.perf_counter() - began


def gate(model: nn.Module, weights: ArrivingWeights, then: Callable[[nn.Module], None]) -> None:
    """Have each module wait for its own weights when it is first called; `then` gets it before it computes.

    Where a module might be read without being called, this waits for everything, and calls `then` for all, at once.
    """
    owners = [module for module in model.modules() if weights.places(module)]
    if not all(_is_called(module) for module in owners):
        weights.wait_for_all()
        for module in model.modules():
            then(module)
        return
    for module in owners:
        _Gate(module, weights, then)


class _Gate:
    """A hook that goes once its module's weights are there."""

    def __init__(self, module: nn.Module, weights: ArrivingWeights, then: Callable[[nn.Module], None]) -> None:
        self._weights = weights
        self._places = weights.places(module)
        self._then = then
        self._handle: RemovableHandle = module.register_forward_pre_hook(self._pass)

    def _pass(self, module: nn.Module, _arguments: object) -> None:
        self._weights.wait_for(self._places)
        self._then(module)
        self._handle.remove()


def _is_called(module: nn.Module) -> bool:
    return isinstance(module, _ALWAYS_CALLED) or "norm" in type(module).__name__.lower()
