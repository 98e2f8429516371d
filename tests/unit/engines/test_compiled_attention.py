"""Compiled attention against torch's own, and a token's result in any company."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from quickthaw_backends.engines.transformers_engine import compiled_attention, compiling
from quickthaw_backends.engines.transformers_engine.attention import RaggedBatch, Segment, attend
from quickthaw_backends.engines.transformers_engine.compiled_attention import CompiledAttention
from quickthaw_backends.engines.transformers_engine.kv_cache import SequenceCache

pytestmark = pytest.mark.skipif(compiling.why_not() is not None, reason=f"nothing is compiled: {compiling.why_not()}")

PIECES = ((0, 40), (17, 1), (0, 1), (100, 1), (30, 75), (15, 2))
"""Of each request: tokens that were computed before, and tokens of this step."""

SHAPES = [(9, 3, 64), (4, 2, 16), (8, 8, 128), (40, 1, 32), (6, 2, 96), (2, 1, 80)]
"""Heads of queries, heads of keys, and numbers of a head; one has more heads that share keys than a task has rows."""


def step(heads: int, kv_heads: int, dimension: int, spread: float = 1.0) -> tuple[list[Segment], torch.Tensor]:
    """Return requests with keys and values, and a packed row of queries with keys behind them."""
    torch.manual_seed(3)
    segments: list[Segment] = []
    begin = 0
    for past, count in PIECES:
        cache = SequenceCache()
        cache.reserve(past + count + 5)  # what is behind was never written
        rows = [spread * torch.randn(1, kv_heads, past + count, dimension) for _ in range(2)]
        cache.write(0, 0, *rows)
        segments.append(Segment(cache, begin, count, past))
        begin += count
    return segments, spread * torch.randn(begin, heads + kv_heads, dimension)


def attended(segments: Sequence[Segment], queries: torch.Tensor, shape: tuple[int, int, int]) -> torch.Tensor:
    return CompiledAttention(segments, *shape, shape[2] ** -0.5)(0, queries)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("spread", [0.01, 1.0, 4.0])  # from all keys alike to one that takes all
def test_it_is_torchs_attention(shape: tuple[int, int, int], spread: float) -> None:
    heads, _, dimension = shape
    segments, queries = step(*shape, spread)
    batch = RaggedBatch(segments)
    batch.layer = 0
    expected = attend(batch, queries[:, :heads].transpose(0, 1)[None], segments, dimension**-0.5)[0]
    assert torch.allclose(attended(segments, queries, shape), expected, atol=2e-5 * spread)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_token_is_the_same_to_the_last_bit_alone(shape: tuple[int, int, int]) -> None:
    segments, queries = step(*shape)
    together = attended(segments, queries, shape)
    for segment in segments:
        for index in range(segment.count):
            row = segment.begin + index
            alone = Segment(segment.cache, 0, 1, segment.past + index)
            assert torch.equal(attended([alone], queries[row : row + 1], shape)[0], together[row])


def test_a_number_that_is_none_reaches_its_own_request_only() -> None:
    shape = SHAPES[0]
    segments, queries = step(*shape)
    expected = attended(segments, queries, shape)
    segments[0].cache.read(0, 7, 8)[0].fill_(torch.nan)
    found = attended(segments, queries, shape)
    assert torch.equal(found[:7], expected[:7])
    assert found[7:40].isnan().all()
    assert torch.equal(found[40:], expected[40:])


def test_heads_that_fill_no_vectors_are_left_to_torch() -> None:
    assert not compiled_attention.takes(20)
    assert compiled_attention.takes(64)
