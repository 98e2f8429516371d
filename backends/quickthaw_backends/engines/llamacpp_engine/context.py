"""A llama.cpp context: the KV cache of all requests, and computing. Made in the template, used by the forks."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quickthaw.errors import FunctionFailed
from quickthaw_backends.engines.llamacpp_engine.adapter import LlamaAdapter
from quickthaw_backends.engines.llamacpp_engine.batch import Batch, Piece
from quickthaw_backends.engines.llamacpp_engine.library import last_error
from quickthaw_backends.engines.llamacpp_engine.model import LlamaModel
from quickthaw_platform.errors import StartFailed

_F16, _BF16 = 1, 30  # ggml_type
_FLASH_ATTENTION = 1


@dataclass(frozen=True, slots=True)
class Room:
    """How large a context is: tokens of the KV cache, sequences, and tokens in one call."""

    kv_tokens: int
    sequences: int
    batch: int


class LlamaContext:
    """For one thread at a time."""

    def __init__(self, model: LlamaModel, room: Room, *, exact: bool, embeds: bool = False) -> None:
        """Make the context with one thread; raises StartFailed with llama.cpp's reason.

        `exact` keeps keys and values in two different types (bfloat16 and float16): that rules out the kernels of
        llama.cpp whose sums depend on how many tokens are computed at a time. Those it leaves add up each token's
        attention alone, in order of position.
        """
        self._model = model
        self._ffi, self._library = model.ffi, model.library
        parameters = self._library.llama_context_default_params()
        parameters.n_ctx = room.kv_tokens
        parameters.n_batch = parameters.n_ubatch = room.batch
        parameters.n_seq_max = room.sequences
        parameters.n_threads = parameters.n_threads_batch = 1
        parameters.flash_attn_type = _FLASH_ATTENTION
        parameters.type_k = _BF16 if exact else _F16
        parameters.type_v = _F16
        parameters.kv_unified = parameters.swa_full = parameters.no_perf = True
        parameters.embeddings = embeds
        self._handle = self._library.llama_init_from_model(model.handle, parameters)
        if self._handle == self._ffi.NULL:
            raise StartFailed(f"llama.cpp makes no context of {room.kv_tokens:,} tokens: {last_error()}")
        self._memory = self._library.llama_get_memory(self._handle)
        self._batch = Batch(self._ffi, room.batch)

    def use_threads(self, threads: int) -> None:
        """Compute with so many threads from now on: in a fork only."""
        self._library.llama_set_n_threads(self._handle, threads, threads)

    def use_adapter(self, adapter: LlamaAdapter) -> None:
        """Compute with an adapter, and with no other, from now on; what was computed before does not fit it."""
        adapters = self._ffi.new("struct llama_adapter_lora *[]", [adapter.handle])
        if code := self._library.llama_set_adapters_lora(self._handle, adapters, 1, self._ffi.new("float[]", [1.0])):
            raise StartFailed(f"llama.cpp does not take the adapter ({code}): {last_error()}")

    def compute(self, pieces: Sequence[Piece]) -> list[NDArray[np.float32]]:
        """Return each piece's scores, [rows, vocabulary]; they are overwritten by the next call.

        Raises FunctionFailed with llama.cpp's reason; nothing of the pieces is in the cache then.
        """
        code = self._library.llama_decode(self._handle, self._batch.filled(pieces))
        if code:
            for piece in pieces:
                self.cut(piece.sequence, piece.past)
            why = "its KV cache has no room" if code == 1 else last_error()
            raise FunctionFailed(f"llama.cpp did not compute ({code}): {why}")
        ends = list(accumulate(piece.rows for piece in pieces))
        scores = self._scores(ends[-1])
        return [scores[end - piece.rows : end] for piece, end in zip(pieces, ends, strict=True)]

    def embedding(self, sequence: int, tokens: Sequence[int], width: int) -> NDArray[np.float32]:
        """Return the pooled vector of a text that is computed alone, as the file says it is to be pooled."""
        batch = self._batch.filled([Piece(sequence, 0, tokens, len(tokens))])
        code = self._library.llama_decode(self._handle, batch)
        found = self._library.llama_get_embeddings_seq(self._handle, sequence) if code == 0 else self._ffi.NULL
        if found == self._ffi.NULL:
            raise FunctionFailed(f"llama.cpp gave no embedding ({code}): {last_error()}")
        vector = np.frombuffer(self._ffi.buffer(found, width * 4), dtype=np.float32).copy()
        self.cut(sequence, 0)
        return vector

    def cut(self, sequence: int, tokens: int) -> None:
        """Forget all but the first `tokens` of a sequence."""
        self._library.llama_memory_seq_rm(self._memory, sequence, tokens, -1)

    def share(self, source: int, target: int, end: int, *, begin: int = 0) -> None:
        """Let a sequence have another's positions from `begin` to `end` (-1: all) too; no memory is copied."""
        self._library.llama_memory_seq_cp(self._memory, source, target, begin, end)

    def get_state(self, sequence: int) -> bytearray:
        """Return a copy of a sequence's keys and values."""
        size = self._library.llama_state_seq_get_size(self._handle, sequence)
        copy = bytearray(size)
        self._library.llama_state_seq_get_data(self._handle, self._ffi.from_buffer(copy), size, sequence)
        return copy

    def set_state(self, sequence: int, state: bytearray) -> None:
        """Put a copy into an empty sequence. Raises FunctionFailed where there is no room."""
        if not self._library.llama_state_seq_set_data(self._handle, self._ffi.from_buffer(state), len(state), sequence):
            raise FunctionFailed(f"llama.cpp did not take back a sequence: {last_error()}")

    def save(self, sequence: int, tokens: Sequence[int], file: Path) -> None:
        """Write the keys and values of a sequence that holds `tokens`, atomically."""
        beside = file.with_name(f".{file.name}.{os.getpid()}")
        held = self._ffi.new("llama_token[]", list(tokens))
        path = str(beside).encode()
        if not self._library.llama_state_seq_save_file(self._handle, path, sequence, held, len(tokens)):
            raise StartFailed(f"{file} cannot be written: {last_error()}")
        beside.replace(file)

    def load(self, sequence: int, tokens: Sequence[int], file: Path) -> bool:
        """Read them into a sequence; False where the file does not hold just these `tokens`."""
        if not file.is_file():
            return False
        found = self._ffi.new("llama_token[]", len(tokens) + 1)
        count = self._ffi.new("size_t *")
        path = str(file).encode()
        read = self._library.llama_state_seq_load_file(self._handle, path, sequence, found, len(tokens) + 1, count)
        if read and list(found[0 : count[0]]) == list(tokens):
            return True
        self.cut(sequence, 0)
        return False

    def close(self) -> None:
        """Give the context's memory back."""
        self._library.llama_free(self._handle)

    def _scores(self, rows: int) -> NDArray[np.float32]:
        """Return the scores of all tokens that want some, in order: llama.cpp's own memory."""
        count = rows * self._model.tokens
        memory = self._ffi.buffer(self._library.llama_get_logits(self._handle), count * 4)
        return np.frombuffer(memory, dtype=np.float32).reshape(rows, self._model.tokens)
