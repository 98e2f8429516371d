"""Imported by a node's zygote: vLLM and all that templates of this engine import, which takes seconds."""

from __future__ import annotations

from quickthaw_backends.engines.vllm_engine.environment import set_environment

set_environment()

from vllm.platforms import current_platform  # noqa: E402

from quickthaw_backends.engines.transformers_engine import guiding, tokenizer  # noqa: E402
from quickthaw_backends.engines.vllm_engine import loop, making, model_class  # noqa: E402

if current_platform.is_cpu():  # what a GPU's worker imports may touch the GPU
    from vllm.v1.worker import cpu_worker  # noqa: F401

__all__ = ["guiding", "loop", "making", "model_class", "tokenizer"]
