"""Keys and values: one contiguous run a request and layer, so that attention reads them without gathering."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from transformers.cache_utils import Cache

Layer = tuple[torch.Tensor, torch.Tensor]
"""Keys and values, [1, heads, tokens, dimension] each."""


class SequenceCache:
    """The keys and values of one request. `reserve` sets the room; layers are made when they are first written."""

    def __init__(self) -> None:
        self.room = 0  # tokens
        self._layers: dict[int, Layer] = {}  # each with the cache's room

    @classmethod
    def holding(cls, layers: Iterable[Layer]) -> SequenceCache:
        """Return a cache that holds these layers as they are, without a copy."""
        cache = cls()
        cache._layers = dict(enumerate(layers))
        cache.room = min((keys.shape[2] for keys, _ in cache._layers.values()), default=0)
        return cache

    def layers(self, tokens: int) -> list[Layer]:
        """Return the first `tokens` of all layers, in their order, as views."""
        return [self.read(layer, 0, tokens) for layer in sorted(self._layers)]

    @property
    def itemsize(self) -> int:
        """Bytes of a number; 0 while nothing is stored."""
        return next((keys.itemsize for keys, _ in self._layers.values()), 0)

    def reserve(self, tokens: int) -> None:
        """Make room for `tokens`; what is stored stays."""
        self.room = tokens
        for layer, (keys, values) in self._layers.items():
            if keys.shape[2] < tokens:
                self._layers[layer] = (_grown(keys, tokens), _grown(values, tokens))

    def snapshot(self) -> SequenceCache:
        """Return a second holder of the same memory: when one of the two grows, the other keeps what it has."""
        same = SequenceCache()
        same.room = self.room
        same._layers = dict(self._layers)
        return same

    def copied(self, tokens: int) -> SequenceCache:
        """Return a cache of its own with the first `tokens` and room for more: unwritten memory costs nothing."""
        copy = SequenceCache()
        copy.room = 2 * tokens
        for layer, (keys, values) in self._layers.items():
            copy._layers[layer] = (_grown(keys[:, :, :tokens], copy.room), _grown(values[:, :, :tokens], copy.room))
        return copy

    def write(self, layer: int, past: int, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Store [1, heads, tokens, dimension] from position `past` on."""
        stored = self._layers.get(layer)
        if stored is None:
            stored = self._layers[layer] = (_empty(keys, self.room), _empty(values, self.room))
        count = keys.shape[2]
        stored[0].narrow(2, past, count).copy_(keys)
        stored[1].narrow(2, past, count).copy_(values)

    def memory(self, layer: int, heads: int, dimension: int) -> tuple[int, int, int]:
        """Return where a layer's keys and values begin, and how many bytes a head's are behind those of the one before.

        They are float32; a layer that was never written is made.
        """
        stored = self._layers.get(layer)
        if stored is None:
            shape = (1, heads, self.room, dimension)
            stored = self._layers[layer] = (torch.empty(shape), torch.empty(shape))
        keys, values = stored
        if keys.dtype != torch.float32:
            raise ValueError(f"keys and values are {keys.dtype}, not float32")
        return keys.data_ptr(), values.data_ptr(), keys.stride(1) * keys.itemsize

    def read(self, layer: int, begin: int, end: int) -> Layer:
        """Return keys and values of the positions from `begin` to `end`, as views."""
        keys, values = self._layers[layer]
        return keys.narrow(2, begin, end - begin), values.narrow(2, begin, end - begin)


def _empty(like: torch.Tensor, tokens: int) -> torch.Tensor:
    return like.new_empty((1, like.shape[1], tokens, like.shape[3]))


def _grown(old: torch.Tensor, tokens: int) -> torch.Tensor:
    new = _empty(old, tokens)
    new[:, :, : old.shape[2]] = old
    return new


class StepCache(Cache):
    """What a model takes for its cache in one step: it hands keys and values to `store` and gives them back as new.

    The attention function reads the past itself, request by request; so the length that the model sees is zero, and
    positions come in as `position_ids`.
    """

    def __init__(self, store: Any) -> None:
        """`store(layer, keys, values)` keeps what the model computed."""
        self.layers = []
        self.layer_class_to_replicate = None
        self.offloading = False
        self._store = store

    def update(
        self,
        key_states: torch.Tensor,
        value_states: torch.Tensor,
        layer_idx: int,
        *_args: Any,
        **_kwargs: Any,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Store the step's keys and values; return them unchanged."""
        self._store(layer_idx, key_states, value_states)
        return key_states, value_states

    def get_seq_length(self, layer_idx: int = 0) -> int:  # noqa: ARG002 (the interface of transformers)
        """Return 0: see the class."""
        return 0
