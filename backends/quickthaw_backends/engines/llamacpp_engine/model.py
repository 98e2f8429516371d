"""A GGUF file as llama.cpp has loaded it: mapped, not copied, and shared by all forks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from quickthaw_backends.engines.llamacpp_engine.library import api, last_error
from quickthaw_platform.checkpoints.gguf_header import GgufHeader, read_gguf_header
from quickthaw_platform.errors import StartFailed

MMAP = 1  # llama_load_mode
NO_LAYERS, ALL_LAYERS = 0, -1
_F32, _F16, _BF16 = 0, 1, 30  # ggml_type
FLOAT_TYPES = frozenset({_F32, _F16, _BF16})


def count_float_matrices(headers: Iterable[GgufHeader]) -> int:
    """Return how many matrices are of floating-point numbers: llama.cpp multiplies one row with these in another way
    than several, which rounds differently. Those of whole numbers it computes alike.
    """
    tensors = (tensor for header in headers for tensor in header.tensors)
    return sum(tensor.type in FLOAT_TYPES and len(tensor.shape) > 1 for tensor in tensors)


class LlamaModel:
    """The model's weights and what the file says of it."""

    def __init__(self, files: Sequence[Path], *, repack: bool, layers_on_gpu: int) -> None:
        """Load without starting a thread or reading tensors. Raises StartFailed with llama.cpp's reason."""
        self.ffi, self.library = api()
        self.headers = [read_gguf_header(file) for file in files]
        parameters = self.library.llama_model_default_params()
        parameters.load_mode = MMAP
        parameters.use_extra_bufts = repack
        parameters.n_gpu_layers = layers_on_gpu
        paths = [self.ffi.new("char[]", str(file).encode()) for file in files]
        if len(paths) == 1:
            self.handle = self.library.llama_model_load_from_file(paths[0], parameters)
        else:
            self.handle = self.library.llama_model_load_from_splits(
                self.ffi.new("const char *[]", paths), len(paths), parameters
            )
        if self.handle == self.ffi.NULL:
            raise StartFailed(f"llama.cpp cannot load it: {last_error()}")
        self.vocabulary: Any = self.library.llama_model_get_vocab(self.handle)
        self.tokens: int = self.library.llama_vocab_n_tokens(self.vocabulary)

    @property
    def header(self) -> GgufHeader:
        """The metadata; of a split file the first part's."""
        return self.headers[0]

    @property
    def chat_template(self) -> str | None:
        """The file's own template for conversations."""
        found = self.library.llama_model_chat_template(self.handle, self.ffi.NULL)
        return None if found == self.ffi.NULL else str(self.ffi.string(found).decode())

    @property
    def keeps_positions(self) -> bool:
        """Whether what was computed of a token can be forgotten again: not so where layers keep a running state."""
        recurrent = self.library.llama_model_is_recurrent(self.handle)
        return not (recurrent or self.library.llama_model_is_hybrid(self.handle))

    @property
    def float_matrices(self) -> int:
        """See `count_float_matrices`."""
        return count_float_matrices(self.headers)

    def kv_elements(self) -> int:
        """Return how many numbers a token takes in the KV cache, keys and values together."""
        attention = f"{self.header.architecture}.attention"
        heads = self.library.llama_model_n_head_kv(self.handle)
        width = self.library.llama_model_n_embd_out(self.handle) // max(1, self.library.llama_model_n_head(self.handle))
        facts = self.header.metadata
        keys = int(facts.get(f"{attention}.key_length", width))
        values = int(facts.get(f"{attention}.value_length", width))
        return int(self.library.llama_model_n_layer(self.handle)) * int(heads) * (keys + values)


def kv_room(wanted: int | None, context_tokens: int, token_bytes: int) -> int:
    """Return the tokens of a KV cache: as `wanted`, else for one longest request, and at most KV_BYTES."""
    if wanted is not None:
        return wanted
    return max(LEAST_TOKENS, min(context_tokens, MOST_TOKENS, KV_BYTES // max(1, token_bytes)))


KV_BYTES = 1 << 30
LEAST_TOKENS = 256
MOST_TOKENS = 8192
