"""A split GGUF file as one, for readers that take no parts; and a small file with its metadata alone.

The metadata is the first part's, copied as it is. Imports nothing heavy.
"""

from __future__ import annotations

import shutil
import struct
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import BinaryIO

from quickthaw_platform.checkpoints.gguf_header import MAGIC, GgufHeader, GgufTensor, read_gguf_header
from quickthaw_platform.errors import CheckpointBroken

_VERSION = 3
_F32 = 0


def write_joined(parts: Sequence[Path], target: BinaryIO) -> None:
    """Write one file with the tensors of all parts, in order. Raises CheckpointBroken for parts that do not match."""
    headers = [read_gguf_header(part) for part in parts]
    alignment = headers[0].alignment
    if any(header.alignment != alignment for header in headers):
        raise CheckpointBroken(f"the parts of {parts[0].name} are aligned differently; they do not belong together")
    tensors, begins, end = [], [], 0
    for part, header in zip(parts, headers, strict=True):
        begins.append(end)
        tensors += [GgufTensor(t.name, t.shape, t.type, end + t.offset) for t in header.tensors]
        end = _aligned(end + part.stat().st_size - header.data_offset, alignment)
    data_offset = _write_header(parts[0], headers[0], tensors, target, lambda _key: True)
    for part, header, begin in zip(parts, headers, begins, strict=True):
        target.seek(data_offset + begin)
        with part.open("rb") as source:
            source.seek(header.data_offset)
            shutil.copyfileobj(source, target, 8 << 20)
    target.flush()


def write_outline(parts: Sequence[Path], target: BinaryIO, keep: Callable[[str], bool]) -> None:
    """Write a file with the metadata whose keys are to be kept and, for each tensor of all parts, a single zero of its
    name: enough to tell what model it is, and quickly read.
    """
    headers = [read_gguf_header(part) for part in parts]
    tensors = [GgufTensor(tensor.name, (1,), _F32, 0) for header in headers for tensor in header.tensors]
    data_offset = _write_header(parts[0], headers[0], tensors, target, keep)
    target.truncate(data_offset + headers[0].alignment)
    target.flush()


def _write_header(
    first: Path, header: GgufHeader, tensors: Sequence[GgufTensor], target: BinaryIO, keep: Callable[[str], bool]
) -> int:
    """Write all that stands before the data; return where that begins."""
    kept = [place for key, place in header.pairs.items() if keep(key)]
    with first.open("rb") as source:
        target.write(struct.pack("<4sIQQ", MAGIC, _VERSION, len(tensors), len(kept)))
        for begin, end in kept:
            source.seek(begin)
            target.write(source.read(end - begin))
    target.write(b"".join(_described(tensors)))
    padding = _aligned(target.tell(), header.alignment) - target.tell()
    target.write(bytes(padding))
    return target.tell()


def _described(tensors: Iterable[GgufTensor]) -> Iterable[bytes]:
    for tensor in tensors:
        name, shape = tensor.name.encode(), tensor.shape
        yield struct.pack("<Q", len(name)) + name
        yield struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, tensor.type, tensor.offset)


def _aligned(size: int, alignment: int) -> int:
    return -(-size // alignment) * alignment
