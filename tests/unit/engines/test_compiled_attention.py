"""Compiled attention against torch's own, and a token's result in any company."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch

from quickthaw_backends.engines.transformers_engine.attention import RaggedBatch, Segment, attend
from quickthaw_backends.engines.transformers_engine.compiled import compiled_attention, compiling
from quickthaw_backends.engines.transformers_engine.compiled.compiled_attention import CompiledAttention
from quickthaw_backends.engines.transformers_engine.kv_cache import CacheShape, SequenceCache

pytestmark = pytest.mark.skipif(compiling.why_not() is not None, reason=f"nothing is compiled: {compiling.why_not()}")

PIECES = ((0, 40), (17, 1), (0, 1), (100, 1), (30, 75), (15, 2))
"""Of each request: tokens that were computed before, and tokens of this step."""

SHAPES = [(9, 3, 64), (4, 2, 16), (8, 8, 128), (40, 1, 32), (6, 2, 96), (2, 1, 80)]
"""Heads of queries, heads of keys, and numbers of a head; one has more heads that share keys than a task has rows."""


@dataclass
class Step:
    """Requests, and the packed rows of this step: queries with keys behind them, and values."""

    shape: tuple[int, int, int]
    segments: list[Segment]
    rotated: torch.Tensor
    values: torch.Tensor

    def attended(self, compiled: bool = True) -> torch.Tensor:
        """Return what the tokens see."""
        heads, _, dimension = self.shape
        if compiled:
            return CompiledAttention(self.segments, *self.shape, dimension**-0.5)(0, self.rotated, self.values)
        batch = RaggedBatch(self.segments)
        queries, keys, values = (
            rows.transpose(0, 1)[None] for rows in (self.rotated[:, :heads], self.rotated[:, heads:], self.values)
        )
        batch.store(0, keys, values)
        return attend(batch, queries, self.segments, dimension**-0.5)[0]

    def alone(self, segment: Segment, index: int) -> Step:
        """Return the step of one of a request's tokens, whose past is known."""
        row = segment.begin + index
        return Step(
            self.shape,
            [Segment(segment.cache, 0, 1, segment.past + index)],
            self.rotated[row : row + 1],
            self.values[row : row + 1],
        )


def made(shape: tuple[int, int, int], spread: float = 1.0) -> Step:
    heads, kv_heads, dimension = shape
    torch.manual_seed(3)
    segments: list[Segment] = []
    rows = sum(count for _, count in PIECES)
    begin = 0
    for past, count in PIECES:
        cache = SequenceCache(CacheShape([((kv_heads, dimension), (kv_heads, dimension))]))
        cache.reserve(past + count + 5)  # what is behind is never written
        if past:
            cache.write(0, 0, *(spread * torch.randn(1, kv_heads, past, dimension) for _ in range(2)))
        segments.append(Segment(cache, begin, count, past))
        begin += count
    inner = spread * torch.randn(rows, heads + 2 * kv_heads, dimension)  # values are a part of a wider row
    return Step(shape, segments, inner[:, : heads + kv_heads].contiguous(), inner[:, heads + kv_heads :])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("spread", [0.01, 1.0, 4.0])  # from all keys alike to one that takes all
def test_it_is_torchs_attention(shape: tuple[int, int, int], spread: float) -> None:
    expected, step = made(shape, spread).attended(compiled=False), made(shape, spread)
    assert torch.allclose(step.attended(), expected, atol=2e-5 * spread)


@pytest.mark.parametrize("shape", SHAPES)
def test_keys_and_values_are_stored_as_torch_stores_them(shape: tuple[int, int, int]) -> None:
    expected, step = made(shape), made(shape)
    expected.attended(compiled=False)
    step.attended()
    for one, other in zip(expected.segments, step.segments, strict=True):
        for stored, found in zip(*(each.cache.read(0, 0, one.past + one.count) for each in (one, other)), strict=True):
            assert torch.equal(stored, found)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_token_is_the_same_to_the_last_bit_alone(shape: tuple[int, int, int]) -> None:
    step = made(shape)
    together = step.attended()
    for segment in step.segments:
        for index in range(segment.count):
            assert torch.equal(step.alone(segment, index).attended()[0], together[segment.begin + index])


def test_a_number_that_is_none_reaches_its_own_request_only() -> None:
    step = made(SHAPES[0])
    expected = step.attended()
    step.rotated[7, 9:] = torch.nan  # the keys of the first request's eighth token
    found = step.attended()
    assert torch.equal(found[:7], expected[:7])
    assert found[7:40].isnan().all()
    assert torch.equal(found[40:], expected[40:])


def test_heads_that_fill_no_vectors_are_left_to_torch() -> None:
    assert not compiled_attention.takes(20)
    assert compiled_attention.takes(64)
