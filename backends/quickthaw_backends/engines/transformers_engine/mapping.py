"""Weights files mapped into memory as tensors: no copy, shared with every process that maps them."""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from quickthaw_platform.checkpoints.header import LENGTH_BYTES, TensorEntry, parse_header
from quickthaw_platform.errors import StartFailed

_DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2, "F8_E8M0": torch.float8_e8m0fnu,
    "F8_E4M3FNUZ": torch.float8_e4m3fnuz, "F8_E5M2FNUZ": torch.float8_e5m2fnuz,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8,
    "U64": torch.uint64, "U32": torch.uint32, "U16": torch.uint16, "U8": torch.uint8,
    "BOOL": torch.bool, "C64": torch.complex64,
}  # fmt: skip
"""All types of the format but those of less than a byte, which torch has no tensors of."""

_NORESERVE = 0x4000  # Linux: do not refuse a mapping for want of memory that copies of all its pages would take


@dataclass(frozen=True, slots=True)
class MappedTensor:
    """A tensor over a file's bytes, and where these end."""

    tensor: torch.Tensor
    file: int  # index of the weights file
    end: int  # in the file

    @property
    def place(self) -> tuple[int, int]:
        """File and end: what must have come before the tensor may be read."""
        return self.file, self.end


def map_weights(files: Sequence[Path], sizes: Sequence[int]) -> dict[str, MappedTensor]:
    """Map weights files, of which the headers at least have arrived. Nothing else of them is read yet.

    The mappings are private and copy-on-write, so that a stray write reaches neither the files nor other processes.
    Raises StartFailed with the file's name.
    """
    found: dict[str, MappedTensor] = {}
    for index, (file, size) in enumerate(zip(files, sizes, strict=True)):
        try:
            found |= _map_file(index, file, size)
        except (OSError, ValueError) as error:
            raise StartFailed(f"{file} cannot be mapped: {error}") from error
    return found


def _map_file(index: int, file: Path, size: int) -> dict[str, MappedTensor]:
    with file.open("rb") as opened:
        flags, access = mmap.MAP_PRIVATE | _NORESERVE, mmap.PROT_READ | mmap.PROT_WRITE
        mapping = mmap.mmap(opened.fileno(), size, flags=flags, prot=access)
    length = int.from_bytes(mapping[:LENGTH_BYTES], "little")
    header = parse_header(mapping[LENGTH_BYTES : LENGTH_BYTES + length], size)
    return {entry.name: MappedTensor(_view(mapping, entry), index, entry.end) for entry in header.tensors}


def _view(mapping: mmap.mmap, entry: TensorEntry) -> torch.Tensor:
    if entry.dtype not in _DTYPES:
        raise ValueError(f"tensor {entry.name!r} has type {entry.dtype}, which torch does not know")
    dtype = _DTYPES[entry.dtype]
    if not entry.bytes:
        return torch.empty(entry.shape, dtype=dtype)
    count = entry.bytes // dtype.itemsize
    return torch.frombuffer(mapping, dtype=dtype, count=count, offset=entry.begin).view(entry.shape)
