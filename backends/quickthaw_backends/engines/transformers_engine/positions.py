"""Attention in which a token's result depends on its own past alone, to the last bit, however it comes to be computed.

A fused kernel adds up in an order that depends on how many tokens are computed at a time. So a prompt is computed in
blocks of positions that are always of one shape, what is missing of a block being zeros, and each token of an answer
by itself: as it was when it was generated.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as functional

from quickthaw_backends.engines.transformers_engine.attention import (
    SHARED_KEYS,
    RaggedBatch,
    Segment,
    attend_alone,
    one_thread,
)

BLOCK_TOKENS = 64


def attend_by_position(
    batch: RaggedBatch, query: torch.Tensor, segments: Sequence[Segment], scale: float
) -> torch.Tensor:
    """Return [1, row, heads, dimension] for `query`, [1, heads, row, dimension], of all segments of the batch.

    The caches have room up to the end of the block that their last token of a prompt is in.
    """
    found: list[torch.Tensor] = []
    with one_thread() as threads:
        for segment, queries in zip(segments, batch.split(query), strict=True):
            begin = 0
            for count in pieces(segment):
                piece, past = queries[:, :, begin : begin + count], segment.past + begin
                if past < segment.prompt:
                    torch.set_num_threads(threads)
                    result = _in_block(batch.layer, segment, piece, past, scale)
                else:
                    torch.set_num_threads(1 if past < SHARED_KEYS else threads)
                    result = attend_alone(piece, *segment.cache.read(batch.layer, 0, past + 1), scale)
                found.append(result.transpose(1, 2))
                begin += count
    return torch.cat(found, 1)


def pieces(segment: Segment) -> Iterator[int]:
    """Yield how many of a segment's tokens are computed at a time: up to a block's end, or an answer's one. Pure."""
    position, end = segment.past, segment.past + segment.count
    while position < end:
        in_prompt = min(end, segment.prompt, (position // BLOCK_TOKENS + 1) * BLOCK_TOKENS)
        yield max(1, in_prompt - position)
        position = max(position + 1, in_prompt)


def room(tokens: int) -> int:
    """Return the room that a cache of so many tokens needs: whole blocks. Pure."""
    return -(-tokens // BLOCK_TOKENS) * BLOCK_TOKENS


def _in_block(layer: int, segment: Segment, queries: torch.Tensor, past: int, scale: float) -> torch.Tensor:
    """Attend for tokens of a prompt from position `past` on, none of them beyond the end of that one's block."""
    first, end = past - past % BLOCK_TOKENS, room(past + 1)
    known = min(end, segment.past + segment.count)
    keys, values = segment.cache.read(layer, 0, end)
    if known < end:  # what stands there may be no number, which a mask does not keep out
        keys[:, :, known:].zero_()
        values[:, :, known:].zero_()
    whole = queries.new_zeros((1, queries.shape[1], BLOCK_TOKENS, queries.shape[3]))
    whole[:, :, past - first : past - first + queries.shape[2]] = queries
    sees = torch.arange(end)[None, :] <= torch.arange(first, end)[:, None]
    result = functional.scaled_dot_product_attention(
        whole, keys, values, attn_mask=sees, scale=scale, enable_gqa=keys.shape[1] != queries.shape[1]
    )
    return result[:, :, past - first : past - first + queries.shape[2]]
