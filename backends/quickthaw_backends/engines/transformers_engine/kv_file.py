"""The keys and values of a prompt's beginning as a file: written once, and mapped by every process that reads it.

It is a safetensors file with the tokens, and the cache's stacks of [runs, heads, tokens, dimension].
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from quickthaw_backends.engines.transformers_engine.kv_cache import CacheShape, SequenceCache
from quickthaw_backends.engines.transformers_engine.mapping import map_weights
from quickthaw_platform.errors import QuickthawError, StartFailed

_FORM = "quickthaw-kv-2"


def read(file: Path, tokens: Sequence[int], shape: CacheShape) -> SequenceCache | None:
    """Return the cache that the file holds, mapped and not copied; None: it holds not just these tokens, so shaped."""
    try:
        found = {name: mapped.tensor for name, mapped in map_weights([file], [file.stat().st_size]).items()}
    except (OSError, QuickthawError):
        return None
    if _FORM not in found or found[_FORM].tolist() != list(tokens):
        return None
    stacks = [found.get(_name(number)) for number in range(len(found) - 1)]
    held = [stack for stack in stacks if stack is not None]
    wanted = [(runs, heads, len(tokens), dimension) for runs, heads, dimension in shape.stacks]
    if [tuple(stack.shape) for stack in held] != wanted:
        return None
    return SequenceCache.holding(shape, held)


def write(file: Path, tokens: Sequence[int], cache: SequenceCache) -> None:
    """Write the beginning of a cache, whole or not at all. Raises StartFailed, naming the file."""
    tensors = {_FORM: torch.tensor(list(tokens), dtype=torch.int32)}
    tensors |= {_name(number): stack.contiguous() for number, stack in enumerate(cache.stacks(len(tokens)))}
    partial = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        save_file(tensors, partial)
        partial.replace(file)
    except (OSError, SafetensorError) as error:
        raise StartFailed(f"{file}: keys and values cannot be written: {error}") from error
    finally:
        partial.unlink(missing_ok=True)


def _name(stack: int) -> str:
    return f"stack.{stack}"
