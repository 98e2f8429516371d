"""Imported by a node's zygote: vLLM and all that templates of this engine import, which takes seconds."""

from __future__ import annotations

from quickthaw_backends.engines.vllm_engine.environment import set_environment

set_environment()

from quickthaw_backends.engines.transformers_engine import guiding, tokenizer  # noqa: E402
from quickthaw_backends.engines.vllm_engine import loop, making  # noqa: E402

__all__ = ["guiding", "loop", "making", "tokenizer"]
