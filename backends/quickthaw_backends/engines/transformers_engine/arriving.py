"""Weights that still arrive while the model is built and first used: each layer waits for its own, and no longer."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from torch import nn
from torch.utils.hooks import RemovableHandle
from transformers.pytorch_utils import Conv1D

from quickthaw_backends.engines.transformers_engine.int8 import Int8Embedding, Int8Linear
from quickthaw_backends.engines.transformers_engine.linear import SteadyLinear
from quickthaw_backends.engines.transformers_engine.mapping import MappedTensor
from quickthaw_platform.checkpoints.arrival import Arrival

_ALWAYS_CALLED = (nn.Linear, Conv1D, nn.Embedding, SteadyLinear, Int8Linear, Int8Embedding)
"""Modules that no model reads the weights of without calling them. Norms are others: see `_is_called`."""

Place = tuple[int, int]
"""A weights file's index, and where a tensor ends in it."""


class Weights(Protocol):
    """Weights that are not there yet."""

    def places(self, module: nn.Module) -> list[Place]:
        """Return the places of the tensors that a module has itself and that come from the files."""

    def wait_for(self, places: Sequence[Place]) -> None:
        """Return when they can be computed with. Raises StartFailed with the cause where they never can."""

    def wait_for_all(self) -> None:
        """Return when all can."""


class ArrivingWeights:
    """Where each tensor ends, and how far its file has come. A fork may go on using its parent's."""

    def __init__(self, arrival: Arrival, tensors: Mapping[str, MappedTensor], sizes: Sequence[int]) -> None:
        """`sizes` are those of the weights files."""
        self._arrival = arrival
        self._sizes = sizes
        self._places = {found.tensor.data_ptr(): found.place for found in tensors.values()}
        self.waited_seconds = 0.0

    @property
    def complete(self) -> bool:
        """Whether all weights are there. Raises StartFailed with the cause where they will never be."""
        return self._arrival.complete

    def has(self, place: Place) -> bool:
        """Whether a file has come so far. Raises StartFailed with the cause where all will never be there."""
        file, end = place
        return self._arrival.complete or self._arrival.mark(file) >= end

    def places(self, module: nn.Module) -> list[Place]:
        """Return the places of the tensors that a module has itself."""
        return own_places(module, self._places)

    def wait_for(self, places: Sequence[Place]) -> None:
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


def own_places(module: nn.Module, places: Mapping[int, Place]) -> list[Place]:
    """Return those of the places, which go by address, that are of parameters and buffers of the module itself."""
    own = (*module.parameters(recurse=False), *module.buffers(recurse=False))
    return [places[tensor.data_ptr()] for tensor in own if tensor.data_ptr() in places]


def gate(model: nn.Module, weights: Weights, then: Callable[[nn.Module], None]) -> None:
    """Have each module wait for its own weights when it is first called; `then` gets it before it computes.

    Where a module might be read without being called, this waits for everything, and calls `then` for all, at once.
    """
    modules = list(model.modules())
    gated = [module for module in modules if weights.places(module)]
    if not all(_is_called(module) for module in gated):
        weights.wait_for_all()
        gated = []
    for module in gated:
        _Gate(module, weights, then)
    for module in set(modules).difference(gated):
        then(module)


def pass_gates(module: nn.Module) -> None:
    """Wait for a module's own weights, as calling it would: for code that reads them without calling it."""
    for hook in list(module._forward_pre_hooks.values()):
        gate = getattr(hook, "__self__", None)
        if isinstance(gate, _Gate):
            gate.open()


class _Gate:
    """A hook that goes once its module's weights are there."""

    def __init__(self, module: nn.Module, weights: Weights, then: Callable[[nn.Module], None]) -> None:
        self._module = module
        self._weights = weights
        self._places = weights.places(module)
        self._then = then
        self._handle: RemovableHandle = module.register_forward_pre_hook(self._pass)

    def open(self) -> None:
        """Wait, and go."""
        self._weights.wait_for(self._places)
        self._then(self._module)
        self._handle.remove()

    def _pass(self, _module: nn.Module, _arguments: object) -> None:
        self.open()


def _is_called(module: nn.Module) -> bool:
    return isinstance(module, _ALWAYS_CALLED) or "norm" in type(module).__name__.lower()
