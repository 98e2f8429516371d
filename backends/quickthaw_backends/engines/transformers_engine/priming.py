"""A prompt's beginning computed ahead, by a twin of the model: the model itself stays as it is until it is placed."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TypeVar

from torch import nn

from quickthaw_backends.engines.batching.runner import Chunk
from quickthaw_backends.engines.transformers_engine.kv_cache import SequenceCache
from quickthaw_backends.engines.transformers_engine.runner import RaggedRunner
from quickthaw_platform.errors import QuickthawError, StartFailed

Module = TypeVar("Module", bound=nn.Module)


def twin(model: Module) -> Module:
    """Return a model of modules of its own over the same tensors."""
    shared: dict[int, object] = {
        id(parameter): nn.Parameter(parameter.detach(), requires_grad=False) for parameter in model.parameters()
    }
    shared |= {id(buffer): buffer.detach() for buffer in model.buffers()}
    return copy.deepcopy(model, shared)


def computed(runner: RaggedRunner, tokens: Sequence[int], step_tokens: int) -> SequenceCache:
    """Return a cache with the keys and values of `tokens`, computed `step_tokens` at a time.

    Starts no thread where torch is set to one. Raises StartFailed with the cause.
    """
    cache = runner.new_cache()
    runner.reserve(cache, len(tokens))
    for begin in range(0, len(tokens), step_tokens):
        (result,) = runner.run([Chunk(cache, tokens[begin : begin + step_tokens], begin)])
        if isinstance(result, QuickthawError):
            raise result
        if isinstance(result, Exception):
            raise StartFailed(f"the beginning cannot be computed: {type(result).__name__}: {result}") from result
    return cache
