from __future__ import annotations

import ctypes

import pytest
import torch

from quickthaw_backends.engines.transformers_engine.kv_cache import STACKED_RUNS, CacheShape, SequenceCache

ALIKE = CacheShape([((2, 4), (2, 4))] * 9)
DIFFERENT = CacheShape([((2, 4), (2, 4)), ((1, 8), (2, 8)), ((1, 8), (2, 8)), ((2, 4), (2, 4))])
SHAPES = pytest.mark.parametrize("shape", [ALIKE, DIFFERENT], ids=["alike", "different"])
TOKENS = 5

Numbers = list[tuple[torch.Tensor, torch.Tensor]]


def runs(shape: CacheShape) -> list[tuple[int, int]]:
    """Return heads and numbers of each layer's keys and values."""
    return [(heads, dimension) for count, heads, dimension in shape.stacks for _ in range(count)]


def numbers(shape: CacheShape) -> Numbers:
    made = [torch.randn(1, heads, TOKENS, dimension) for heads, dimension in runs(shape)]
    return list(zip(made[::2], made[1::2], strict=True))


def filled(shape: CacheShape, layers: Numbers, room: int = TOKENS) -> SequenceCache:
    cache = SequenceCache(shape)
    cache.reserve(room)
    for index, (keys, values) in enumerate(layers):
        cache.write(index, 0, keys[:, :, :2], values[:, :, :2])
        cache.write(index, 2, keys[:, :, 2:], values[:, :, 2:])
    return cache


def holds(cache: SequenceCache, layers: Numbers, tokens: int = TOKENS) -> bool:
    return all(
        torch.equal(found, wanted[:, :, :tokens])
        for index, layer in enumerate(layers)
        for found, wanted in zip(cache.read(index, 0, tokens), layer, strict=True)
    )


@SHAPES
def test_each_layer_has_its_own_keys_and_values(shape: CacheShape) -> None:
    layers = numbers(shape)
    cache = filled(shape, layers)
    assert holds(cache, layers)
    keys, values = cache.read(1, 2, 4)
    assert torch.equal(keys, layers[1][0][:, :, 2:4])
    assert torch.equal(values, layers[1][1][:, :, 2:4])


@SHAPES
def test_what_is_stored_stays_where_it_grows_and_where_others_grow(shape: CacheShape) -> None:
    layers = numbers(shape)
    cache = filled(shape, layers)
    same = cache.snapshot()
    cache.reserve(3 * TOKENS)
    assert holds(cache, layers)
    for index, (keys, values) in enumerate(numbers(shape)):
        cache.write(index, 0, keys, values)
    assert holds(same, layers)


@SHAPES
def test_a_copy_has_the_beginning_and_room_for_more(shape: CacheShape) -> None:
    layers = numbers(shape)
    copy = filled(shape, layers).copied(3)
    assert copy.room == 6
    assert holds(copy, layers, 3)


def test_alike_layers_lie_together_and_no_tensor_is_the_greater_part_of_a_large_model() -> None:
    assert ALIKE.stacks == [(STACKED_RUNS, 2, 4), (STACKED_RUNS, 2, 4), (2, 2, 4)]
    assert DIFFERENT.stacks == [(2, 2, 4), (1, 1, 8), (1, 2, 8), (1, 1, 8), (1, 2, 8), (2, 2, 4)]


def test_a_token_takes_what_all_layers_keep_of_it() -> None:
    assert ALIKE.elements == 9 * 2 * 2 * 4
    assert DIFFERENT.elements == 2 * (2 * 2 * 4) + 2 * (8 + 2 * 8)


def test_code_finds_each_head_in_memory() -> None:
    layers = numbers(ALIKE)
    cache = filled(ALIKE, layers, room=7)

    def at(address: int) -> list[float]:
        return list((ctypes.c_float * (TOKENS * 4)).from_address(address))

    for (keys, values), (keys_at, values_at, head_bytes) in zip(layers, cache.memory().tolist(), strict=True):
        for head in range(2):
            assert at(keys_at + head * head_bytes) == keys[0, head].flatten().tolist()
            assert at(values_at + head * head_bytes) == values[0, head].flatten().tolist()
    before = cache.memory().tolist()
    cache.reserve(8)
    assert cache.memory().tolist() != before


def test_code_takes_float32_only() -> None:
    cache = SequenceCache(ALIKE)
    cache.reserve(2)
    cache.write(0, 0, *(torch.zeros(1, 2, 1, 4, dtype=torch.bfloat16) for _ in range(2)))
    assert cache.itemsize == 2
    with pytest.raises(ValueError, match="bfloat16, not float32"):
        cache.memory()
