"""Keys and values: one contiguous run a request and layer, so that attention reads them without gathering.

Runs of alike layers lie in one tensor, so that a request's room is made with a few operations and not with two a layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from transformers.cache_utils import Cache

Run = tuple[int, int]
"""What a layer keeps of its keys, or of its values: heads, and numbers of a head."""


class Stack(NamedTuple):
    """Alike runs that lie in one tensor."""

    runs: int
    heads: int
    dimension: int


STACKED_RUNS = 8
"""In one tensor at most: where a cache grows, one tensor is there twice for a moment."""


class CacheShape:
    """What a model's layers keep of each token."""

    def __init__(self, layers: Sequence[tuple[Run, Run]]) -> None:
        """`layers` has the keys' run and the values' run of each."""
        self.stacks: list[Stack] = []
        self._places: list[tuple[int, int]] = []  # of each run, keys before values: its stack, and its place in that
        for run, alike in groupby(run for layer in layers for run in layer):
            self._add(run, len(list(alike)))

    def _add(self, run: Run, count: int) -> None:
        for begin in range(0, count, STACKED_RUNS):
            together = min(STACKED_RUNS, count - begin)
            self._places += [(len(self.stacks), place) for place in range(together)]
            self.stacks.append(Stack(together, *run))

    @property
    def elements(self) -> int:
        """Numbers that a token takes."""
        return sum(stack.runs * stack.heads * stack.dimension for stack in self.stacks)

    def place(self, layer: int, *, values: bool) -> tuple[int, int]:
        """Return in which stack a layer's keys or values are, and where in that."""
        return self._places[2 * layer + values]

    @cached_property
    def columns(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The stacks of all runs, and the places in them."""
        stacks, places = np.array(self._places, dtype=np.int64).T
        return stacks, places


class SequenceCache:
    """The keys and values of one request. `reserve` sets the room; memory is taken when something is first written."""

    def __init__(self, shape: CacheShape) -> None:
        self.room = 0  # tokens
        self._shape = shape
        self._stacks: list[torch.Tensor] = []  # [runs, heads, room, dimension]
        self._addresses: NDArray[np.int64] | None = None

    @classmethod
    def holding(cls, shape: CacheShape, stacks: Sequence[torch.Tensor]) -> SequenceCache:
        """Return a cache that holds these stacks as they are, without a copy."""
        cache = cls(shape)
        cache._stacks = list(stacks)
        cache.room = stacks[0].shape[2]
        return cache

    @property
    def itemsize(self) -> int:
        """Bytes of a number; 0 while nothing is stored."""
        return self._stacks[0].itemsize if self._stacks else 0

    def stacks(self, tokens: int) -> list[torch.Tensor]:
        """Return the first `tokens` of all stacks, as views."""
        return [stack.narrow(2, 0, tokens) for stack in self._stacks]

    def reserve(self, tokens: int) -> None:
        """Make room for `tokens`; what is stored stays."""
        self.room = tokens
        for index, stack in enumerate(self._stacks):
            if stack.shape[2] < tokens:
                self._stacks[index] = _grown(stack, tokens)
                self._addresses = None

    def snapshot(self) -> SequenceCache:
        """Return a second holder of the same memory: when one of the two grows, the other keeps what it has."""
        same = SequenceCache(self._shape)
        same.room = self.room
        same._stacks = list(self._stacks)
        return same

    def copied(self, tokens: int) -> SequenceCache:
        """Return a cache of its own with the first `tokens` and room for more: unwritten memory costs nothing."""
        copy = SequenceCache(self._shape)
        copy.room = 2 * tokens
        copy._stacks = [_grown(stack, copy.room) for stack in self.stacks(tokens)]
        return copy

    def write(self, layer: int, past: int, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Store [1, heads, tokens, dimension] from position `past` on."""
        self._begin(keys)
        count = keys.shape[2]
        self._run(layer, values=False).narrow(1, past, count).copy_(keys[0])
        self._run(layer, values=True).narrow(1, past, count).copy_(values[0])

    def read(self, layer: int, begin: int, end: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return keys and values, [1, heads, tokens, dimension], of the positions from `begin` to `end`, as views."""
        keys, values = (self._run(layer, values=which).narrow(1, begin, end - begin)[None] for which in (False, True))
        return keys, values

    def memory(self) -> NDArray[np.int64]:
        """Return [layers, 3]: where each layer's keys and values begin, and the bytes from a head to the next.

        They are float32, and all layers alike.
        """
        if self._addresses is None:
            self._begin(torch.empty(0))
            if self._stacks[0].dtype != torch.float32:
                raise ValueError(f"keys and values are {self._stacks[0].dtype}, not float32")
            stacks, places = self._shape.columns
            bases = np.array([stack.data_ptr() for stack in self._stacks])
            run_bytes, head_bytes, *_ = (stride * 4 for stride in self._stacks[0].stride())
            begins = (bases[stacks] + places * run_bytes).reshape(-1, 2)
            self._addresses = np.column_stack([begins, np.full(len(begins), head_bytes)])
        return self._addresses

    def _begin(self, like: torch.Tensor) -> None:
        """Take memory, for numbers of a tensor's type and on its device, unless that was done."""
        if not self._stacks:
            shapes = ((stack.runs, stack.heads, self.room, stack.dimension) for stack in self._shape.stacks)
            self._stacks = [like.new_empty(shape) for shape in shapes]

    def _run(self, layer: int, *, values: bool) -> torch.Tensor:
        stack, place = self._shape.place(layer, values=values)
        return self._stacks[stack][place]


def _grown(old: torch.Tensor, tokens: int) -> torch.Tensor:
    runs, heads, stored, dimension = old.shape
    new = old.new_empty((runs, heads, tokens, dimension))
    new[:, :, :stored] = old
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
