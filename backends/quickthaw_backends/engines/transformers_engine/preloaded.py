"""Imported by a node's zygote: torch, transformers and all that templates of engines built on them import."""

from __future__ import annotations

import torch
from transformers.models.auto import modeling_auto, tokenization_auto
from transformers.models.llama import modeling_llama

from quickthaw_backends.engines.transformers_engine import loading, model, tokenizer

__all__ = ["loading", "model", "modeling_auto", "modeling_llama", "tokenization_auto", "tokenizer", "torch"]
