"""What one call of llama.cpp computes, in arrays that are made once and filled anew for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class Piece:
    """Tokens of one sequence to compute; the last `rows` of them get scores."""

    sequence: int
    past: int
    tokens: Sequence[int]
    rows: int


class Batch:
    """A `llama_batch` over memory of ours."""

    def __init__(self, ffi: Any, capacity: int) -> None:
        """`capacity`: most tokens in one call. `ffi` knows llama.cpp's types."""
        self._tokens = np.zeros(capacity, np.int32)
        self._positions = np.zeros(capacity, np.int32)
        self._sequences = np.zeros(capacity, np.int32)
        self._wanted = np.zeros(capacity, np.int8)
        sequences = ffi.from_buffer("llama_seq_id[]", self._sequences)
        self._kept = (  # cffi's pointers do not keep what they point to
            ffi.from_buffer("int32_t[]", np.ones(capacity, np.int32)),
            ffi.new("llama_seq_id *[]", [sequences + place for place in range(capacity)]),
        )
        self._batch = ffi.new("struct llama_batch *")
        self._batch.token = ffi.from_buffer("llama_token[]", self._tokens)
        self._batch.pos = ffi.from_buffer("llama_pos[]", self._positions)
        self._batch.n_seq_id, self._batch.seq_id = self._kept
        self._batch.logits = ffi.from_buffer("int8_t[]", self._wanted)

    def filled(self, pieces: Sequence[Piece]) -> Any:
        """Return the `llama_batch` that has the pieces one after the other."""
        tokens: list[int] = []
        positions: list[int] = []
        sequences: list[int] = []
        wanted: list[int] = []
        for piece in pieces:
            count = len(piece.tokens)
            tokens += piece.tokens
            positions += range(piece.past, piece.past + count)
            sequences += [piece.sequence] * count
            wanted += [0] * (count - piece.rows) + [1] * piece.rows
        size = len(tokens)
        self._tokens[:size] = tokens
        self._positions[:size] = positions
        self._sequences[:size] = sequences
        self._wanted[:size] = wanted
        self._batch.n_tokens = size
        return self._batch[0]
