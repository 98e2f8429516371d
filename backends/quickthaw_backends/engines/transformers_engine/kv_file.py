"""The keys and values of a prompt's beginning as a file: written once, and mapped by every process that reads it.

It is a safetensors file with the tokens and, for each layer, keys and values of [1, heads, tokens, dimension].
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from quickthaw_backends.engines.transformers_engine.kv_cache import Layer, SequenceCache
from quickthaw_backends.engines.transformers_engine.mapping import map_weights
from quickthaw_platform.errors import QuickthawError, StartFailed

_FORM = "quickthaw-kv-1"


def read(file: Path, tokens: Sequence[int], elements: int) -> SequenceCache | None:
    """Return the cache that the file holds, mapped and not copied; None: it holds not just these tokens.

    `elements` is how many numbers a token takes in the cache.
    """
    try:
        found = {name: mapped.tensor for name, mapped in map_weights([file], [file.stat().st_size]).items()}
    except (OSError, QuickthawError):
        return None
    if _FORM not in found or found[_FORM].tolist() != list(tokens):
        return None
    layers = _layers(found)
    held = sum(tensor.numel() for layer in layers for tensor in layer)
    if held != elements * len(tokens):
        return None
    return SequenceCache.holding(layers)


def write(file: Path, tokens: Sequence[int], cache: SequenceCache) -> None:
    """Write the beginning of a cache, whole or not at all. Raises StartFailed, naming the file."""
    tensors = {_FORM: torch.tensor(list(tokens), dtype=torch.int32)}
    for index, (keys, values) in enumerate(cache.layers(len(tokens))):
        tensors |= {f"keys.{index}": keys.contiguous(), f"values.{index}": values.contiguous()}
    partial = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        save_file(tensors, partial)
        partial.replace(file)
    except (OSError, SafetensorError) as error:
        raise StartFailed(f"{file}: keys and values cannot be written: {error}") from error
    finally:
        partial.unlink(missing_ok=True)


def _layers(found: Mapping[str, torch.Tensor]) -> list[Layer]:
    layers: list[Layer] = []
    for index in count():
        if f"keys.{index}" not in found or f"values.{index}" not in found:
            return layers
        layers.append((found[f"keys.{index}"], found[f"values.{index}"]))
    return layers
