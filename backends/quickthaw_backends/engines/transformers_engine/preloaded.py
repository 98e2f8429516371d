"""Imported by a node's zygote: torch, transformers and all that templates of engines built on them import.

Importing it also compiles the products with the most common type of weights.
"""

from __future__ import annotations

import torch
from transformers.models.auto import modeling_auto, tokenization_auto
from transformers.models.llama import modeling_llama

from quickthaw_backends.engines.transformers_engine import loading, model, tokenizer
from quickthaw_backends.engines.transformers_engine.compiled import compiled_product

__all__ = ["loading", "model", "modeling_auto", "modeling_llama", "tokenization_auto", "tokenizer", "torch"]

compiled_product.have_code({torch.bfloat16})
