"""Filling in the middle: the marks with which models are asked for the text between two others."""

from __future__ import annotations

NO_INFILL = "has no tokens for filling in the middle, so it cannot take a suffix; send the prompt alone"
"""What is said of a model without such marks."""

INFILL_MARKS = (
    ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),  # Qwen, StarCoder's successors
    ("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),  # StarCoder, SantaCoder
    ("<fim-prefix>", "<fim-suffix>", "<fim-middle>"),  # SantaCoder's first
    ("<|prefix|>", "<|suffix|>", "<|middle|>"),  # CodeGemma's cousins
    ("<\uff5cfim\u2581begin\uff5c>", "<\uff5cfim\u2581hole\uff5c>", "<\uff5cfim\u2581end\uff5c>"),  # DeepSeek Coder
    ("\u2581<PRE>", "\u2581<SUF>", "\u2581<MID>"),  # Code Llama
    ("<|code_prefix|>", "<|code_suffix|>", "<|code_middle|>"),  # GLM
)
"""Before the prefix, before the suffix, before what is asked for; the first that a vocabulary has all of."""
