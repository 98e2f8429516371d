"""Keys and values: one contiguous run a request and layer, so that attention reads them without gathering."""

from __future__ import annotations

from typing import Any

import torch
from transformers.cache_utils import Cache


class SequenceCache:
    """The keys and values of one request. `reserve` sets the room; layers are made when they are first written."""

    def __init__(self) -> None:
        self.room = 0  # tokens
        self._layers: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def reserve(self, tokens: int) -> None:
        """Make room for `tokens`; what is stored stays."""
        self.room = tokens
        for layer, (keys, values) in self._layers.items():
            if keys.shape[1] < tokens:
                self._layers[layer] = (_grown(keys, tokens), _grown(values, tokens))

    def copied(self, tokens: int) -> SequenceCache:
        """Return a cache of its own that holds the first `tokens`."""
        copy = SequenceCache()
        copy.room = tokens
        for layer, (keys, values) in self._layers.items():
            copy._layers[layer] = (keys[:, :tokens].clone(), values[:, :tokens].clone())
        return copy

    def write(self, layer: int, past: int, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Store [heads, tokens, dimension] from position `past` on."""
        stored = self._layers.get(layer)
        if stored is None:
            stored = self._layers[layer] = (_empty(keys, self.room), _empty(values, self.room))
        end = past + keys.shape[1]
        stored[0][:, past:end] = keys
        stored[1][:, past:end] = values

    def read(self, layer: int, begin: int, end: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return keys and values of the positions from `begin` to `end`, as views."""
        keys, values = self._layers[layer]
        return keys[:, begin:end], values[:, begin:end]


def _empty(like: torch.Tensor, tokens: int) -> torch.Tensor:
    return like.new_empty((like.shape[0], tokens, like.shape[2]))


def _grown(old: torch.Tensor, tokens: int) -> torch.Tensor:
    new = _empty(old, tokens)
    new[:, : old.shape[1]] = old
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
