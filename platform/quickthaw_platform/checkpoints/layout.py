"""The file that holds the weights: plain safetensors, laid out for loading.

The header is padded with spaces (which the format allows) so that data starts on a page boundary; the tensors stand in
the order in which a forward pass needs them; a tied tensor is stored once.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from quickthaw_platform.checkpoints.manifest import FileRecord, Weights

if TYPE_CHECKING:
    import torch

PAGE_BYTES = 4096
WEIGHTS_FILE = "weights-0.safetensors"
_LENGTH_BYTES = 8  # the format begins with the header's length, little-endian

_LAYER = re.compile(r"(?:^|\.)(\d+)(?:\.|$)")
_EMBEDDING = re.compile(r"embed|(^|\.)(wte|wpe)\.")
_HEAD = re.compile(r"^(lm_head|embed_out|output|score|classifier|cls|pooler)\b")
_CODES = {
    "float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16",
    "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2",
    "int64": "I64", "int32": "I32", "int16": "I16", "int8": "I8", "uint8": "U8", "bool": "BOOL",
}  # fmt: skip


class Tied(NamedTuple):
    """The tensors to store, and the further names of those that have several."""

    tensors: dict[str, torch.Tensor]
    aliases: dict[str, str]


class Written(NamedTuple):
    """What was written: the file, where its data begins, and how many bytes the tensors have."""

    file: FileRecord
    weights: Weights
    tensor_bytes: int


def execution_order(names: Iterable[str]) -> list[str]:
    """Sort tensor names as a forward pass meets them: embeddings, layers by number, norm, head.

    Within one of these the given order stays, which for a `state_dict` is the order of the modules.
    """

    def place(name: str) -> tuple[int, int]:
        layer = _LAYER.search(name)
        if layer:
            return 1, int(layer[1])
        if _HEAD.search(name):
            return 3, 0
        return (0, 0) if _EMBEDDING.search(name) else (2, 0)

    return sorted(names, key=place)


def untie(tensors: Mapping[str, torch.Tensor]) -> Tied:
    """Separate names that share one tensor (the same memory, shape and strides): the first name keeps it."""
    kept: dict[str, torch.Tensor] = {}
    aliases: dict[str, str] = {}
    owners: dict[tuple[object, ...], str] = {}
    for name in execution_order(tensors):
        tensor = tensors[name]
        identity = (tensor.data_ptr(), tensor.dtype, tuple(tensor.shape), tensor.stride())
        if tensor.numel() and identity in owners:
            aliases[name] = owners[identity]
        else:
            owners[identity] = name
            kept[name] = tensor
    return Tied(kept, aliases)


def write_weights(
    directory: Path,
    tensors: Mapping[str, torch.Tensor],
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Written:
    """Write `tensors` to the weights file in `directory`, one after another; `progress` gets bytes done and in all.

    No second copy is made of a tensor that is contiguous.
    """
    names = _aligned(execution_order(tensors), tensors)
    total = sum(tensors[name].nbytes for name in names)
    header = _header(names, tensors)
    digest = hashlib.sha256(header)
    path = directory / WEIGHTS_FILE
    with path.open("wb") as file:
        file.write(header)
        done = 0
        for name in names:
            view = _bytes_of(tensors[name])
            file.write(view)
            digest.update(view)
            done += len(view)
            progress(done, total)
        file.flush()
        os.fsync(file.fileno())
    record = FileRecord(path=WEIGHTS_FILE, bytes=len(header) + total, sha256=digest.hexdigest())
    return Written(record, Weights(file=WEIGHTS_FILE, data_offset=len(header)), total)


def _aligned(names: list[str], tensors: Mapping[str, torch.Tensor]) -> list[str]:
    """Keep tensors on a multiple of their element's size: where mixed types would break that, larger types go first."""
    offset = 0
    for name in names:
        if offset % tensors[name].element_size():
            return sorted(names, key=lambda n: -tensors[n].element_size())
        offset += tensors[name].nbytes
    return names


def _header(names: Iterable[str], tensors: Mapping[str, torch.Tensor]) -> bytes:
    entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name in names:
        tensor = tensors[name]
        code = _CODES[str(tensor.dtype).removeprefix("torch.")]
        entries[name] = {"dtype": code, "shape": list(tensor.shape), "data_offsets": [offset, offset + tensor.nbytes]}
        offset += tensor.nbytes
    text = json.dumps(entries, separators=(",", ":")).encode()
    padded = -(-(_LENGTH_BYTES + len(text)) // PAGE_BYTES) * PAGE_BYTES
    return (padded - _LENGTH_BYTES).to_bytes(_LENGTH_BYTES, "little") + text.ljust(padded - _LENGTH_BYTES)


def _bytes_of(tensor: torch.Tensor) -> memoryview:
    import torch

    return tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().data
