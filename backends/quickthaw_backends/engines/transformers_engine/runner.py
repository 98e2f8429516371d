"""Forward passes: what the scheduler planned, put through the model."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from transformers import DynamicCache, PreTrainedModel

from quickthaw_backends.engines.batching.runner import CacheSharing, Chunk, Scores
from quickthaw_backends.engines.transformers_engine import attention
from quickthaw_backends.engines.transformers_engine.attention import RaggedBatch, Segment
from quickthaw_backends.engines.transformers_engine.kv_cache import CacheShape, SequenceCache, StepCache
from quickthaw_backends.engines.transformers_engine.lean import LeanDecoder


class RaggedRunner:
    """All chunks in one packed row: one pass through every layer, and attention request by request."""

    chunked = True
    copies = True

    def __init__(
        self, model: PreTrainedModel, shape: CacheShape, *, speculates: bool, lean: LeanDecoder | None = None
    ) -> None:
        """`speculates`: what a token gives does not depend on how many are computed with it. `lean` is quicker."""
        self.sharing: CacheSharing | None = self
        self.speculates = speculates
        self._model = model
        self._shape = shape
        self._lean = lean
        self._selects = "logits_to_keep" in inspect.signature(model.forward).parameters

    def new_cache(self) -> SequenceCache:
        """Return an empty cache for one request."""
        return SequenceCache(self._shape)

    def reserve(self, cache: SequenceCache, tokens: int) -> None:
        """Make room in a cache."""
        cache.reserve(tokens)

    def store(self, cache: SequenceCache) -> SequenceCache:
        """Return a view of the cache as it is: what is written behind it later is not looked at."""
        return cache.snapshot()

    def fork(self, kept: SequenceCache, tokens: int) -> SequenceCache:
        """Return a copy of the first `tokens` of a cache."""
        return kept.copied(tokens)

    def cut(self, cache: SequenceCache, tokens: int) -> None:
        """Do nothing: what stands behind the computed tokens is written over."""

    def drop(self, cache: SequenceCache) -> None:
        """Do nothing: the memory goes with the last reference."""

    def run(self, chunks: Sequence[Chunk]) -> list[Scores | Exception]:
        """Return each chunk's scores; if the batch fails, each is tried alone, to fail only those that must."""
        try:
            with torch.inference_mode():
                return [scores.numpy() for scores in self._forward(chunks)]
        except Exception as error:  # noqa: BLE001 (model code raises anything; the error goes to the requests)
            if len(chunks) == 1:
                return [error]
            return [_copied(result) for chunk in chunks for result in self.run([chunk])]

    def _forward(self, chunks: Sequence[Chunk]) -> Sequence[torch.Tensor]:
        segments, tokens, places, wanted = _pack(chunks)
        batch = RaggedBatch(segments)
        if self._lean is not None:
            scores = self._lean.scores(tokens, places, batch, torch.tensor(wanted))
        else:
            scores = self._by_modules(tokens, places, batch, wanted)
        found: Sequence[torch.Tensor] = scores.float().cpu().split([chunk.rows for chunk in chunks])
        return found

    def _by_modules(self, tokens: list[int], places: list[int], batch: RaggedBatch, wanted: list[int]) -> torch.Tensor:
        device = self._model.device
        selected = torch.tensor(wanted, device=device)
        attention.current.batch = batch
        try:
            output = self._model(
                input_ids=torch.tensor([tokens], device=device),
                position_ids=torch.tensor([places], device=device),
                past_key_values=StepCache(batch.store),
                use_cache=True,
                **({"logits_to_keep": selected} if self._selects else {}),
            )
        finally:
            attention.current.batch = None
        scores: torch.Tensor = output.logits[0] if self._selects else output.logits[0, selected]
        return scores


def _copied(result: Scores | Exception) -> Scores | Exception:
    """Keep scores over the next call."""
    return result if isinstance(result, Exception) else result.copy()


def _pack(chunks: Sequence[Chunk]) -> tuple[list[Segment], list[int], list[int], list[int]]:
    """Return segments, tokens, their positions, and the rows whose scores are wanted."""
    segments: list[Segment] = []
    tokens: list[int] = []
    places: list[int] = []
    wanted: list[int] = []
    for chunk in chunks:
        begin, count = len(tokens), len(chunk.tokens)
        segments.append(Segment(chunk.cache, begin, count, chunk.past))
        tokens += chunk.tokens
        places += range(chunk.past, chunk.past + count)
        wanted += range(begin + count - chunk.rows, begin + count)
    return segments, tokens, places, wanted


class SoloRunner:
    """One request after the other, with transformers' own cache: for models that ragged attention cannot serve."""

    chunked = False
    sharing: CacheSharing | None = None
    speculates = False

    def __init__(self, model: PreTrainedModel) -> None:
        self._model = model

    def new_cache(self) -> list[Any]:
        """Return an empty cache: a holder of what the model itself makes."""
        return []

    def reserve(self, cache: list[Any], tokens: int) -> None:
        """Do nothing: the model's cache grows by itself."""

    def drop(self, cache: list[Any]) -> None:
        """Do nothing: the memory goes with the last reference."""

    def run(self, chunks: Sequence[Chunk]) -> list[Scores | Exception]:
        """Return each chunk's scores, or what went wrong with it."""
        results: list[Scores | Exception] = []
        for chunk in chunks:
            try:
                with torch.inference_mode():
                    results.append(self._forward(chunk).cpu().numpy())
            except Exception as error:  # noqa: BLE001 (as above)
                results.append(error)
        return results

    def _forward(self, chunk: Chunk) -> torch.Tensor:
        if not chunk.cache:
            chunk.cache.append(DynamicCache(config=self._model.config))
        output = self._model(
            input_ids=torch.tensor([chunk.tokens], device=self._model.device),
            past_key_values=chunk.cache[0],
            use_cache=True,
        )
        scores: torch.Tensor = output.logits[0].float()
        return scores[len(scores) - chunk.rows :]
