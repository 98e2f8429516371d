"""A LoRA adapter, read into a model's memory: what it adds to a base model's matrices.

llama.cpp computes W·x + scale·(alpha / rank)·B·(A·x) for each matrix W that the file has A and B for (Hu et al.,
"LoRA", ICLR 2022, section 4.1); alpha and rank stand in the file, `scale` is 1 here. The base's weights stay as they
are, mapped and shared.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from quickthaw_backends.engines.llamacpp_engine.library import last_error
from quickthaw_backends.engines.llamacpp_engine.model import LlamaModel, count_float_matrices
from quickthaw_platform.checkpoints.gguf_header import read_gguf_header
from quickthaw_platform.errors import StartFailed


class LlamaAdapter:
    """Goes with its model: llama.cpp frees it then."""

    def __init__(self, model: LlamaModel, file: Path) -> None:
        """Copy the file's matrices into this process's memory. Raises StartFailed with llama.cpp's reason."""
        self.header = read_gguf_header(file)
        if self.header.architecture != model.header.architecture:
            raise StartFailed(
                f"the adapter is for models of the architecture {self.header.architecture!r}, and this one is of "
                f"{model.header.architecture!r}"
            )
        last_error()  # of something earlier
        self.handle: Any = model.library.llama_adapter_lora_init(model.handle, str(file).encode())
        if self.handle == model.ffi.NULL:
            raise StartFailed(f"llama.cpp cannot put the adapter on the model: {last_error()}")
        if model.library.llama_adapter_get_alora_n_invocation_tokens(self.handle):
            raise StartFailed("it is an activated LoRA, which works from certain tokens on only: that is not supported")

    @property
    def float_matrices(self) -> int:
        """See `model.count_float_matrices`."""
        return count_float_matrices([self.header])
