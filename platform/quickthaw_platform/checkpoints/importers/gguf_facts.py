"""What a GGUF file says of itself: what it is for, how its weights are stored, whether all of it is there."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

from quickthaw_platform.checkpoints.gguf_header import GgufHeader, GgufTensor, read_gguf_header
from quickthaw_platform.checkpoints.header import shown
from quickthaw_platform.checkpoints.importers.source import spdx
from quickthaw_platform.errors import CheckpointBroken, InvalidRequest

_ENCODERS = frozenset(
    {"bert", "eurobert", "gemma-embedding", "jina-bert-v2", "jina-bert-v3", "llama-embed", "modern-bert", "neo-bert",
     "nomic-bert", "nomic-bert-moe"}
)  # fmt: skip
"""Architectures that are for embeddings whether the file names a pooling or not."""

_NO_POOLING, _RANK_POOLING = 0, 4
_GUESSED = 1024
"""A bit of `general.file_type`: the file did not say, a reader guessed."""

_DENSE = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}


@dataclass(frozen=True, slots=True)
class GgufFacts:
    """What the manifest says of a GGUF checkpoint."""

    task: Literal["generate", "embed", "adapter"]
    architecture: str  # llama.cpp's name of it
    context_tokens: int
    quantization: str  # the file type, or where the file names none, the type of most of its bytes
    license: str | None
    tensors: int
    tensor_bytes: int
    data_offsets: tuple[int, ...]  # of each part

    @property
    def dtype(self) -> str:
        """What its weights are, or become when a reader dequantises them."""
        return _DENSE.get(self.quantization, "bfloat16")


def read_facts(parts: Sequence[Path]) -> GgufFacts:
    """Read the headers of a GGUF file's parts.

    Raises CheckpointBroken for a file that is not whole, and InvalidRequest for one that is no model to be served.
    """
    headers = [read_gguf_header(part) for part in parts]
    _refuse_strangers(parts, headers)
    sized = [sized for part, header in zip(parts, headers, strict=True) for sized in _sized(part, header)]
    first = headers[0]
    task = _task(parts[0], first)
    return GgufFacts(
        task=task,
        architecture=first.architecture,
        context_tokens=0 if task == "adapter" else _context_tokens(parts[0], first),
        quantization=_quantization(first, sized),
        license=spdx(first.metadata.get("general.license")),
        tensors=len(sized),
        tensor_bytes=sum(size for _, size in sized),
        data_offsets=tuple(header.data_offset for header in headers),
    )


def _task(file: Path, header: GgufHeader) -> Literal["generate", "embed", "adapter"]:
    kind = header.metadata.get("general.type", "model")
    if kind == "adapter":
        if header.metadata.get("adapter.type", "lora") != "lora":
            raise InvalidRequest(f"{file} is an adapter of type {shown(header.metadata['adapter.type'])}, not a LoRA")
        return "adapter"
    if header.architecture == "clip" and kind == "model":
        kind = "mmproj"
    if kind != "model":
        raise InvalidRequest(f"{file} is a GGUF file of type {shown(kind)}; a checkpoint is a model or a LoRA adapter")
    if not header.architecture:
        raise CheckpointBroken(f"{file} is not a whole GGUF file: it names no general.architecture")
    pooling = header.metadata.get(f"{header.architecture}.pooling_type", _NO_POOLING)
    if pooling == _RANK_POOLING:
        raise InvalidRequest(f"{file} ranks documents, which no engine serves")
    return "embed" if pooling != _NO_POOLING or header.architecture in _ENCODERS else "generate"


def _context_tokens(file: Path, header: GgufHeader) -> int:
    found = header.metadata.get(f"{header.architecture}.context_length")
    if not isinstance(found, int) or found < 1:
        raise InvalidRequest(f"{file} names no context length ({header.architecture}.context_length); make it anew")
    return found


def _quantization(header: GgufHeader, sized: Sequence[tuple[GgufTensor, int]]) -> str:
    from gguf import GGMLQuantizationType, LlamaFileType

    known = {int(kind): kind.name.removeprefix("MOSTLY_").removeprefix("ALL_") for kind in LlamaFileType}
    named = header.metadata.get("general.file_type")
    if isinstance(named, int) and named & ~_GUESSED in known:
        return known[named & ~_GUESSED]
    taken: Counter[int] = Counter()
    for tensor, size in sized:
        taken[tensor.type] += size
    most = taken.most_common(1)[0][0]
    names = {int(kind): kind.name for kind in GGMLQuantizationType}
    return names.get(most, f"type-{most}")


def _sized(file: Path, header: GgufHeader) -> list[tuple[GgufTensor, int]]:
    """Return each tensor with its bytes. Raises CheckpointBroken where the file ends before one does."""
    from gguf import GGML_QUANT_SIZES

    known: dict[int, tuple[int, int]] = {int(kind): shape for kind, shape in GGML_QUANT_SIZES.items()}
    end = file.stat().st_size - header.data_offset
    after = dict(pairwise(sorted({tensor.offset for tensor in header.tensors} | {max(end, 0)})))
    sized = [(tensor, _size(tensor, known, after.get(tensor.offset, 0))) for tensor in header.tensors]
    for tensor, size in sized:
        if tensor.offset + size > end:
            raise CheckpointBroken(f"{file} is not a whole GGUF file: it ends within tensor {shown(tensor.name)}")
    return sized


def _size(tensor: GgufTensor, known: dict[int, tuple[int, int]], up_to_next: int) -> int:
    """Return a tensor's bytes; of a type that is newer than the library, all up to the next tensor."""
    if tensor.type not in known:
        return up_to_next
    block_elements, block_bytes = known[tensor.type]
    return math.prod(tensor.shape) // block_elements * block_bytes


def _refuse_strangers(parts: Sequence[Path], headers: Sequence[GgufHeader]) -> None:
    """Parts say which one they are, and of how many; a file that is no part says nothing."""
    for index, (part, header) in enumerate(zip(parts, headers, strict=True)):
        number, count = header.metadata.get("split.no", 0), header.metadata.get("split.count", 1)
        if (number, max(count, 1)) != (index, len(parts)):
            raise InvalidRequest(
                f"{part} says that it is part {number + 1} of {count}, not {index + 1} of {len(parts)}; give the parts "
                "the names that they were made with"
            )
    names = [tensor.name for header in headers for tensor in header.tensors]
    if not names:
        raise InvalidRequest(f"{parts[0]} holds no weights")
    if len(set(names)) != len(names):
        raise CheckpointBroken(f"{parts[0]} has a tensor twice in its parts")
