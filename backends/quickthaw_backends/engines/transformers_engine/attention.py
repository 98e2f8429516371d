"""Attention over a packed batch: the tokens of all requests in one row, each request looking only at its own past.

Registered with transformers under `NAME`; a model made with that `attn_implementation` calls `ragged_attention` in
each layer and computes everything else once over the packed row. No padding, and no mask that grows with the batch.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as functional
from transformers.modeling_utils import AttentionInterface

from quickthaw_backends.engines.transformers_engine.kv_cache import SequenceCache

NAME = "quickthaw_ragged"


SHARED_KEYS = 2048
"""From so many keys on, the attention of a single token is worth more than one thread."""


class UnsupportedAttention(Exception):
    """The model's attention needs something that ragged attention does not do."""


@dataclass(slots=True)
class Segment:
    """The tokens of one request in the packed row."""

    cache: SequenceCache
    begin: int  # in the row
    count: int
    past: int  # tokens of the request before these
    masks: dict[int | None, torch.Tensor] = field(default_factory=dict)  # by sliding window; the same in each layer

    def mask(self, window: int | None, device: torch.device) -> torch.Tensor:
        """Return [count, keys]: which key each token sees; with a window, keys begin at `first_key`."""
        found = self.masks.get(window)
        if found is None:
            first = self.first_key(window)
            queries = torch.arange(self.past, self.past + self.count, device=device)[:, None]
            keys = torch.arange(first, self.past + self.count, device=device)[None, :]
            found = keys <= queries
            if window is not None:
                found &= queries - keys < window
            self.masks[window] = found
        return found

    def first_key(self, window: int | None) -> int:
        """Return the first position that any of the tokens sees."""
        return 0 if window is None else max(0, self.past + 1 - window)


class RaggedBatch:
    """One step's segments, and the layer that the model is in."""

    def __init__(self, segments: list[Segment]) -> None:
        self.segments = segments
        self.layer = -1
        self._counts = [segment.count for segment in segments]

    def attend(self, window: int | None) -> list[Segment]:  # noqa: ARG002 (a probe records it)
        """Return the segments that the layer, with its sliding window if any, is to attend in."""
        return self.segments

    def store(self, layer: int, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Keep a layer's keys and values ([1, heads, row, dimension]) with their requests."""
        self.layer = layer
        pieces = zip(self.segments, self.split(keys), self.split(values), strict=True)
        with one_thread():
            for segment, own_keys, own_values in pieces:
                segment.cache.write(layer, segment.past, own_keys, own_values)

    def split(self, rows: torch.Tensor) -> Sequence[torch.Tensor]:
        """Return each segment's part of [1, heads, row, dimension]."""
        parts: Sequence[torch.Tensor] = rows.split(self._counts, 2)
        return parts


class _Current(threading.local):
    batch: RaggedBatch | None = None


current = _Current()
"""The batch that this thread's forward pass is for: models do not all pass foreign arguments on to attention."""


def ragged_attention(
    module: torch.nn.Module,  # noqa: ARG001 (transformers' signature)
    query: torch.Tensor,
    key: torch.Tensor,  # noqa: ARG001 (already stored, by StepCache)
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,  # noqa: ARG001 (there is none; see the module's docstring)
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: torch.Tensor | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Attend, request by request. `query` is [1, heads, row, dimension]; returns [1, row, heads, dimension]."""
    if kwargs.get("position_bias") is not None:
        raise UnsupportedAttention("attention with a position bias")
    batch = current.batch
    if batch is None:
        raise UnsupportedAttention("attention outside of a step")
    segments = batch.attend(sliding_window)
    if not segments:
        return query.new_empty((1, query.shape[2], query.shape[1], value.shape[3])), None
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    return attend(batch, query, segments, scale, window=sliding_window, softcap=softcap, sinks=s_aux), None


def attend(
    batch: RaggedBatch,
    query: torch.Tensor,
    segments: Sequence[Segment],
    scale: float,
    *,
    window: int | None = None,
    softcap: float | None = None,
    sinks: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return [1, row, heads, dimension] for `query`, [1, heads, row, dimension], of all segments of the batch."""
    found: list[torch.Tensor] = []
    with one_thread() as threads:
        for segment, queries in zip(segments, batch.split(query), strict=True):
            keys, values = segment.cache.read(batch.layer, segment.first_key(window), segment.past + segment.count)
            torch.set_num_threads(1 if segment.count == 1 and keys.shape[2] < SHARED_KEYS else threads)
            if softcap is None and sinks is None:
                result = _fused(queries, keys, values, segment, window, scale)
            else:
                mask = segment.mask(window, query.device)
                result = _plain(queries, keys, values, mask, scale, softcap, sinks)
            found.append(result.transpose(1, 2))
    return torch.cat(found, 1)


@contextmanager
def one_thread() -> Iterator[int]:
    """Have this thread compute alone meanwhile: to wake others takes longer than a few microseconds of work.

    Gives the number of threads before.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield threads
    finally:
        torch.set_num_threads(threads)


def _fused(
    query: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    segment: Segment,
    window: int | None,
    scale: float,
) -> torch.Tensor:
    """Return [1, heads, tokens, dimension] by torch's fused attention."""
    _, heads, count, _ = query.shape
    kv_heads = keys.shape[1]
    if count == 1:
        return attend_alone(query, keys, values, scale)
    shared = kv_heads != heads
    if segment.past == 0 and (window is None or count <= window):
        return functional.scaled_dot_product_attention(
            query, keys, values, is_causal=True, scale=scale, enable_gqa=shared
        )
    mask = segment.mask(window, query.device)
    return functional.scaled_dot_product_attention(query, keys, values, attn_mask=mask, scale=scale, enable_gqa=shared)


def attend_alone(query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, scale: float) -> torch.Tensor:
    """Return [1, heads, 1, dimension] for a single token, which sees all keys.

    Heads that share keys go as rows of one head, so that nothing is repeated.
    """
    heads, kv_heads = query.shape[1], keys.shape[1]
    packed = query.reshape(1, kv_heads, heads // kv_heads, query.shape[3])
    out = functional.scaled_dot_product_attention(packed, keys, values, scale=scale)
    return out.reshape(1, heads, 1, values.shape[-1])


def _plain(
    query: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    mask: torch.Tensor,
    scale: float,
    softcap: float | None,
    sinks: torch.Tensor | None,
) -> torch.Tensor:
    """Attend in single operations, for what the fused one does not do: capped scores (Gemma), sinks (GPT-OSS)."""
    shared = query.shape[1] // keys.shape[1]
    keys, values = keys.repeat_interleave(shared, 1), values.repeat_interleave(shared, 1)
    scores = query @ keys.transpose(2, 3) * scale
    if softcap is not None:
        scores = torch.tanh(scores / softcap) * softcap
    scores = scores.masked_fill(~mask, float("-inf"))
    if sinks is not None:
        column = sinks.to(scores.dtype).reshape(1, -1, 1, 1).expand(*scores.shape[:3], 1)
        scores = torch.cat([scores, column], dim=-1)
    weights = torch.softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype)
    return weights[..., : keys.shape[2]] @ values


AttentionInterface.register(NAME, ragged_attention)
