"""The files that hold the weights: plain safetensors, laid out for loading.

The header is padded with spaces (which the format allows) so that data starts on a page boundary; the tensors stand in
the order in which a forward pass needs them; a tied tensor is stored once.

What an interrupted write left in a file is compared with what belongs there, and only what differs is written. So a
write can be repeated after a kill at any byte and after a power cut, and needs no journal that could be wrong itself.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from quickthaw_platform.checkpoints.checksums import HASHERS, NEW_ALGORITHM
from quickthaw_platform.checkpoints.header import LENGTH_BYTES
from quickthaw_platform.checkpoints.manifest import CHUNK_BYTES, WeightsFile

if TYPE_CHECKING:
    import torch

PAGE_BYTES = 4096

_LAYER = re.compile(r"(?:^|\.)(\d+)(?:\.|$)")
_EMBEDDING = re.compile(r"embed|(^|\.)(wte|wpe)\.")
_HEAD = re.compile(r"^(lm_head|embed_out|output|score|classifier|cls|pooler)\b")
_CODES = {
    "float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16",
    "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2",
    "float8_e4m3fnuz": "F8_E4M3FNUZ", "float8_e5m2fnuz": "F8_E5M2FNUZ", "float8_e8m0fnu": "F8_E8M0",
    "int64": "I64", "int32": "I32", "int16": "I16", "int8": "I8", "bool": "BOOL",
    "uint64": "U64", "uint32": "U32", "uint16": "U16", "uint8": "U8", "complex64": "C64",
}  # fmt: skip


class Tied(NamedTuple):
    """The tensors to store, and the further names of those that have several."""

    tensors: dict[str, torch.Tensor]
    aliases: dict[str, str]


class Written(NamedTuple):
    """What was written: the files in order of execution, and how many bytes the tensors have."""

    files: tuple[WeightsFile, ...]
    tensor_bytes: int


def execution_order(names: Iterable[str]) -> list[str]:
    """Sort tensor names as a forward pass meets them: embeddings, layers by number, norm, head.

    Within one of these the given order stays, which for a `state_dict` is the order of the modules.
    """
    return sorted(names, key=_place)


def _place(name: str) -> tuple[int, int]:
    layer = _LAYER.search(name)
    if layer:
        return 1, int(layer[1])
    if _HEAD.search(name):
        return 3, 0
    return (0, 0) if _EMBEDDING.search(name) else (2, 0)


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


def partition(sizes: Mapping[str, int], count: int) -> list[list[str]]:
    """Split names, in order of execution, into at most `count` runs of about equal bytes; a layer is never torn apart.

    So `count` devices, or as many readers, load at once. There are fewer runs than asked for where the layers are.
    """
    layers: dict[tuple[int, int], list[str]] = {}
    for name in execution_order(sizes):
        layers.setdefault(_place(name), []).append(name)
    total, before = sum(sizes.values()), 0
    runs: dict[int, list[str]] = {}
    for names in layers.values():
        taken = sum(sizes[name] for name in names)
        middle = before + taken / 2
        runs.setdefault(min(int(middle * count / total), count - 1) if total else 0, []).extend(names)
        before += taken
    return list(runs.values()) or [[]]


def write_weights(
    directory: Path,
    tensors: Mapping[str, torch.Tensor],
    progress: Callable[[int, int], None] = lambda _done, _total: None,
    *,
    partitions: int = 1,
) -> Written:
    """Write `tensors` to weights files in `directory`, one after another; `progress` gets bytes done and in all.

    What stands there already is kept where it is right. No second copy is made of a tensor that is contiguous.
    """
    runs = partition({name: tensor.nbytes for name, tensor in tensors.items()}, partitions)
    total = sum(tensor.nbytes for tensor in tensors.values())
    done = 0
    files = []
    for index, names in enumerate(runs):
        ordered = _aligned(names, tensors)
        header = _header(ordered, tensors)
        path = directory / weights_name(index)
        path.touch()
        with path.open("r+b", buffering=0) as file:
            writer = ChunkWriter(file)
            writer.write(header)
            for name in ordered:
                view = _bytes_of(tensors[name])
                for begin in range(0, len(view), CHUNK_BYTES):
                    writer.write(view[begin : begin + CHUNK_BYTES])
                    progress(done + min(begin + CHUNK_BYTES, len(view)), total)
                done += len(view)
            file.truncate()
            os.fsync(file.fileno())
        files.append(writer.record(path.name, data_offset=len(header)))
    return Written(tuple(files), total)


def weights_name(index: int) -> str:
    """Return the name of the weights file of a partition."""
    return f"weights-{index}.safetensors"


class ChunkWriter:
    """Writes a weights file from its beginning, and takes its digest and the checksum of each chunk on the way."""

    def __init__(self, file: FileIO) -> None:
        """`file` is unbuffered; what it holds already and is right is not written again."""
        self._file = file
        self._digest = hashlib.sha256()
        self._chunk = HASHERS[NEW_ALGORITHM](b"")
        self._chunks: list[str] = []
        self._bytes = 0

    def write(self, data: bytes | memoryview) -> None:
        """Append bytes."""
        view = memoryview(data)
        while view:
            piece = view[: CHUNK_BYTES - self._bytes % CHUNK_BYTES]
            self._put(piece)
            self._digest.update(piece)
            self._chunk.update(piece)
            self._bytes += len(piece)
            if self._bytes % CHUNK_BYTES == 0:
                self._end_chunk()
            view = view[len(piece) :]

    def _put(self, piece: memoryview) -> None:
        if self._file.read(len(piece)) == piece:
            return
        self._file.seek(self._bytes)
        while piece:
            piece = piece[self._file.write(piece) :]

    def record(self, path: str, *, data_offset: int) -> WeightsFile:
        """Return what the manifest says of the file, now that all of it was written."""
        if self._bytes % CHUNK_BYTES:
            self._end_chunk()
        return WeightsFile(
            path=path,
            bytes=self._bytes,
            sha256=self._digest.hexdigest(),
            data_offset=data_offset,
            chunks=tuple(self._chunks),
            algorithm=NEW_ALGORITHM,
        )

    def _end_chunk(self) -> None:
        self._chunks.append(self._chunk.hexdigest())
        self._chunk = HASHERS[NEW_ALGORITHM](b"")


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
    padded = -(-(LENGTH_BYTES + len(text)) // PAGE_BYTES) * PAGE_BYTES
    return (padded - LENGTH_BYTES).to_bytes(LENGTH_BYTES, "little") + text.ljust(padded - LENGTH_BYTES)


def _bytes_of(tensor: torch.Tensor) -> memoryview:
    import torch

    return tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().data
