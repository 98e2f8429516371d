"""Weights as vLLM takes them: from the node's copy, which is mapped, and each tensor as soon as it has arrived.

vLLM's own reader of safetensors takes files only that are whole and have not a byte more than their tensors; memory of
a node is rounded up to whole pages, and may still be being filled.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import torch
from vllm.model_executor.model_loader import register_model_loader
from vllm.model_executor.model_loader.default_loader import DefaultModelLoader

from quickthaw_backends.engines.transformers_engine.mapping import MappedTensor, map_weights
from quickthaw_platform.checkpoints.arrival import Arrival
from quickthaw_platform.checkpoints.manifest import Manifest
from quickthaw_platform.contracts import Checkpoint

LOAD_FORMAT = "quickthaw"
"""vLLM's name for the loader that was registered last."""


class Weights:
    """Mapped by a template, read once by each of its instances."""

    def __init__(self, checkpoint: Checkpoint, manifest: Manifest) -> None:
        """Map the files as soon as their headers are there. Raises StartFailed with the file's name or the cause."""
        self._arrival = None if checkpoint.arrival is None else Arrival(checkpoint.arrival)
        for index, file in enumerate(manifest.weights):
            self._wait(index, file.data_offset)
        paths = checkpoint.weights or [checkpoint.path / file.path for file in manifest.weights]
        self._tensors = map_weights(paths, [file.bytes for file in manifest.weights])
        self.waited_seconds = 0.0

    def take(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Yield each tensor with its name when it is there, in the order of the files, and let go of them all.

        Raises StartFailed where some never will be.
        """
        tensors, self._tensors = self._tensors, {}
        for name, found in sorted(tensors.items(), key=_by_place):
            began = time.monotonic()
            self._wait(*found.place)
            self.waited_seconds += time.monotonic() - began
            yield name, found.tensor

    def _wait(self, file: int, end: int) -> None:
        if self._arrival is not None:
            self._arrival.wait(file, end)


def let_vllm_load(weights: Weights) -> None:
    """Have vLLM's engines that are made next, with this LOAD_FORMAT, take these weights."""

    class Loader(DefaultModelLoader):  # type: ignore[misc]  # without vLLM its type is unknown
        def get_all_weights(self, _model_config: Any, model: Any) -> Iterator[tuple[str, torch.Tensor]]:
            self.counter_before_loading_weights = time.perf_counter()
            yield from weights.take()
            for source in getattr(model, "secondary_weights", ()):
                yield from self._get_weights_iterator(source)

    register_model_loader(LOAD_FORMAT)(Loader)


def _by_place(item: tuple[str, MappedTensor]) -> tuple[int, int]:
    return item[1].place
