"""Steps of the engine transformers without its loop: a request's tokens computed in pieces, beside others or alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from quickthaw_backends.engines.batching.runner import Chunk, Scores
from quickthaw_backends.engines.transformers_engine import TransformersEngine
from quickthaw_backends.engines.transformers_engine.kv_cache import SequenceCache
from quickthaw_backends.engines.transformers_engine.runner import RaggedRunner
from quickthaw_platform.contracts import Checkpoint
from tests.unit.engines import tiny

PROMPT = [*b"The quick brown fox jumps over the lazy dog. " * 4][:150]
ANSWER = [*b"and then it sleeps under a tree"]
ALL = [*PROMPT, *ANSWER]


def started_runner(folder: Path, architecture: str, *, threads: int = 2, **options: Any) -> RaggedRunner:
    """Return what computes the steps of an engine that was started with these options."""
    checkpoint = tiny.checkpoint(folder, architecture, options.pop("dtype", "bfloat16"))
    return runner_of(checkpoint, threads=threads, **options)


def runner_of(checkpoint: Checkpoint, *, threads: int = 2, **options: Any) -> RaggedRunner:
    """Do so for a checkpoint."""
    engine = TransformersEngine()
    engine.prepare(checkpoint, options, lambda _name, _seconds: None)
    engine.start("cpu", threads, 8 << 20)
    assert engine._loop is not None
    runner = engine._loop._runner
    assert isinstance(runner, RaggedRunner)
    engine.close()
    return runner


@dataclass
class Computed:
    scores: Scores
    kept: list[torch.Tensor]  # keys and values of all layers

    def same(self, other: Computed) -> bool:
        """Whether another way to compute gave the same, to the last bit."""
        return np.array_equal(self.scores, other.scores) and all(
            torch.equal(a, b) for a, b in zip(self.kept, other.kept, strict=True)
        )


def computed(runner: RaggedRunner, cuts: Sequence[int], *others: Chunk) -> Computed:
    """Compute all tokens, up to each of the cuts in turn, others beside them."""
    cache, rows = runner.new_cache(), []
    runner.reserve(cache, len(ALL))
    for begin, end in zip((0, *cuts), (*cuts, len(ALL)), strict=True):
        results = runner.run([*others, Chunk(cache, ALL[begin:end], begin, end - begin)])
        assert not isinstance(results[-1], Exception), results[-1]
        rows.append(results[-1])
    return Computed(np.concatenate(rows), kept(cache))


def kept(cache: SequenceCache) -> list[torch.Tensor]:
    """Return copies of the keys and values of all tokens."""
    return [stack.clone() for stack in cache.stacks(len(ALL))]
