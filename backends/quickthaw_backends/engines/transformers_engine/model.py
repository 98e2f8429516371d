"""A model on its way from a checkpoint's folder to computing: built, mapped, placed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from quickthaw_backends.engines.transformers_engine import attention, linear, loading
from quickthaw_backends.engines.transformers_engine.embedding import Embedder
from quickthaw_backends.engines.transformers_engine.loop import BatchLoop
from quickthaw_backends.engines.transformers_engine.options import TransformersOptions
from quickthaw_backends.engines.transformers_engine.probe import Shape, probe
from quickthaw_backends.engines.transformers_engine.runner import RaggedRunner, Runner, SoloRunner
from quickthaw_backends.engines.transformers_engine.scheduler import Budget
from quickthaw_backends.engines.transformers_engine.sequence import Texts
from quickthaw_platform.checkpoints.manifest import Manifest
from quickthaw_platform.errors import StartFailed


class PreparedModel:
    """Holds the model and what was learnt about it."""

    def __init__(self, model: Any, shape: Shape | None) -> None:
        """`shape` is None for an encoder."""
        self._model = model
        self._shape = shape

    @classmethod
    def build(cls, path: Path, manifest: Manifest) -> PreparedModel:
        """Build the skeleton; a decoder is probed for what its cache takes and whether it can be batched."""
        if manifest.task == "embed":
            return cls(loading.build_skeleton(path, manifest, "sdpa"), None)
        try:
            model = loading.build_skeleton(path, manifest, attention.NAME)
        except ValueError:  # the model has attention code of its own and refuses a foreign one
            return cls(loading.build_skeleton(path, manifest, "eager"), Shape(False, 0))
        shape = probe(model)
        if not shape.ragged:
            model = loading.build_skeleton(path, manifest, "eager")
        return cls(model, shape)

    @property
    def embeds(self) -> bool:
        """Whether it is an encoder."""
        return self._shape is None

    @property
    def vocabulary(self) -> int:
        """How many tokens there are."""
        size: int = self._model.config.get_text_config().vocab_size
        return size

    def map_weights(self, files: Sequence[Path], manifest: Manifest) -> None:
        """Map the weights read-only into the skeleton."""
        tensors = {name: tensor for file in files for name, tensor in loading.map_tensors(file).items()}
        loading.assign_weights(self._model, tensors, manifest.tied)

    def place(self, device: torch.device, options: TransformersOptions) -> None:
        """Bring the model to the device; on a CPU that needs it, put in the hybrid layers (see `linear`)."""
        if options.dtype != "auto":
            self._model.to(dtype=getattr(torch, options.dtype))
        if device.type != "cpu":
            self._model.to(device=device)
            return
        wanted = options.compute in ("hybrid", "steady") or (options.compute == "auto" and not linear.native_bf16())
        if wanted and linear.can_be_hybrid(self._model):
            linear.make_hybrid(self._model, self._model.get_output_embeddings(), steady=options.compute == "steady")
            linear.widen_small(self._model)

    def embedder(self, context_tokens: int) -> Embedder:
        """Return what embeds with this model."""
        return Embedder(self._model, context_tokens)

    def loop(self, options: TransformersOptions, tokenizer: Texts, memory_bytes: int, context_tokens: int) -> BatchLoop:
        """Start a batch loop whose KV cache takes at most `memory_bytes`."""
        if self._shape is None:
            raise StartFailed("an encoder generates nothing")
        runner: Runner = RaggedRunner(self._model) if self._shape.ragged else SoloRunner(self._model)
        token_bytes = max(1, self._shape.kv_elements * self._kv_bytes())
        kv_tokens = memory_bytes // token_bytes
        if kv_tokens < 1:
            raise StartFailed(f"{memory_bytes:,} bytes hold no KV cache: one token takes {token_bytes:,}")
        budget = Budget(kv_tokens, options.max_batch, options.step_tokens, options.prefill_tokens, runner.chunked)
        context = min(context_tokens, kv_tokens)
        return BatchLoop(runner, budget, tokenizer, kv_token_bytes=token_bytes, context_tokens=context)

    def _kv_bytes(self) -> int:
        hybrid = any(isinstance(module, linear.HybridLinear) for module in self._model.modules())
        return 4 if hybrid else self._model.dtype.itemsize
