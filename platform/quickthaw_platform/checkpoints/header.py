"""The header of a safetensors file, read strictly: a wrong one would let tensors overlap or reach out of the file.

The format (huggingface/safetensors): eight bytes with the header's length, little-endian; the header, a JSON object of
tensor name to {dtype, shape, data_offsets}; the data, to which the offsets are relative. Imports nothing heavy.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from reprlib import Repr
from typing import Any, BinaryIO, NoReturn

from quickthaw_platform.errors import CheckpointBroken

LENGTH_BYTES = 8
MAX_HEADER_BYTES = 100_000_000
"""The limit of the safetensors library."""

MAX_TENSORS = 1 << 18
"""Of one file: more than twice of what the largest models have in all their files."""

MAX_DIMENSIONS = 64
"""Of a tensor, as in torch."""

MAX_DIGITS = 19
"""Of a number: sizes and places fit in 63 bits, and arithmetic with longer numbers takes ever longer."""

MARKS_PER_TENSOR = {b"{": 1, b"[": 2, b",": 16}
"""How often a mark of JSON stands in a header for each tensor at most, so that the header is read in seconds."""

SHOWN_CHARACTERS = 120
"""Of a stranger's text in an error's message."""

METADATA = "__metadata__"

DTYPE_BITS = {
    "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
    "U16": 16, "I16": 16, "F16": 16, "BF16": 16,
    "U32": 32, "I32": 32, "F32": 32,
    "U64": 64, "I64": 64, "F64": 64, "C64": 64,
}  # fmt: skip
"""Every type of the format, by the bits of an element."""


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """Where a tensor's bytes are: from `begin` to `end`, counted from the beginning of the file."""

    name: str
    dtype: str  # one of DTYPE_BITS
    shape: tuple[int, ...]
    begin: int
    end: int

    @property
    def bytes(self) -> int:
        """How many bytes it takes."""
        return self.end - self.begin


@dataclass(frozen=True, slots=True)
class Header:
    """The tensors in the order of their bytes, and where the first one begins."""

    tensors: tuple[TensorEntry, ...]
    data_offset: int
    metadata: Mapping[str, str]


def read_header(file: Path) -> Header:
    """Read and check a file's header. Raises CheckpointBroken, which names the file and what is wrong with it."""
    try:
        with file.open("rb") as opened:
            size = file.stat().st_size
            return parse_header(_header_bytes(opened, size), size)
    except OSError as error:
        raise CheckpointBroken(f"{file} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise CheckpointBroken(f"{file} is not a whole safetensors file: {error}") from error


def _header_bytes(opened: BinaryIO, size: int) -> bytes:
    length = int.from_bytes(opened.read(LENGTH_BYTES), "little")
    if size < LENGTH_BYTES or length > min(size - LENGTH_BYTES, MAX_HEADER_BYTES):
        raise ValueError(f"its header would have {length:,} bytes, the file has {size:,}")
    return opened.read(length)


def parse_header(raw: bytes, file_bytes: int) -> Header:
    """Check `raw`, what stands behind the length, against a file of this size. Raises ValueError."""
    data_offset = LENGTH_BYTES + len(raw)
    _refuse_many(raw)
    try:
        entries: Any = json.loads(
            raw, object_pairs_hook=_no_duplicates, parse_int=_number, parse_float=_refuse, parse_constant=_refuse
        )
    except UnicodeDecodeError as error:
        raise ValueError("its header is not text; is it a pickle?") from error
    except RecursionError as error:
        raise ValueError("its header is nested too deeply") from error
    if not isinstance(entries, dict):
        raise ValueError("its header is not a JSON object")
    metadata = entries.pop(METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError("its metadata is not a map of texts")
    tensors = sorted(
        (_entry(name, fields, data_offset) for name, fields in entries.items()), key=lambda t: (t.begin, t.end)
    )
    _refuse_gaps(tensors, data_offset, file_bytes)
    return Header(tuple(tensors), data_offset, metadata)


def shown(value: object) -> str:
    """Return a value from a stranger's file as Python writes it, cut where it is too long for an error's message."""
    form = Repr()
    form.maxstring = form.maxother = form.maxlong = SHOWN_CHARACTERS
    return form.repr(value)


def _refuse_many(raw: bytes) -> None:
    if any(raw.count(mark) > count * MAX_TENSORS for mark, count in MARKS_PER_TENSOR.items()):
        raise ValueError(f"its header has more parts than {MAX_TENSORS:,} tensors take")


def _number(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"its header has a number of {len(digits):,} digits")
    return int(digits)


def _refuse(number: str) -> NoReturn:
    raise ValueError(f"its header has the number {shown(number)}, and only whole ones belong there")


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        ((twice, _),) = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"{shown(twice)} stands in its header twice")
    return found


def _entry(name: str, fields: Any, data_offset: int) -> TensorEntry:
    if not isinstance(fields, dict) or fields.keys() != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"tensor {shown(name)} has not just a dtype, a shape and data_offsets")
    dtype, shape, offsets = fields["dtype"], fields["shape"], fields["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPE_BITS:
        raise ValueError(f"tensor {shown(name)} has the unknown type {shown(dtype)}")
    if not _counts(shape) or not _counts(offsets) or len(offsets) != 2:
        raise ValueError(f"tensor {shown(name)} has a shape or offsets that are not whole numbers from 0 on")
    if len(shape) > MAX_DIMENSIONS:
        raise ValueError(f"tensor {shown(name)} has {len(shape):,} dimensions")
    bits = math.prod(shape) * DTYPE_BITS[dtype]
    if offsets[1] - offsets[0] != bits // 8 or bits % 8:
        raise ValueError(f"tensor {shown(name)} of {dtype} {shape} does not have {offsets[1] - offsets[0]:,} bytes")
    return TensorEntry(name, dtype, tuple(shape), data_offset + offsets[0], data_offset + offsets[1])


def _counts(value: Any) -> bool:
    return isinstance(value, list) and all(type(number) is int and number >= 0 for number in value)


def _refuse_gaps(tensors: Iterable[TensorEntry], data_offset: int, file_bytes: int) -> None:
    """The format wants every byte behind the header to belong to exactly one tensor."""
    end = data_offset
    for tensor in tensors:
        if tensor.begin != end:
            what = "overlaps the one before" if tensor.begin < end else "leaves a gap before it"
            raise ValueError(f"tensor {shown(tensor.name)} {what}")
        end = tensor.end
    if end != file_bytes:
        raise ValueError(f"its tensors end at byte {end:,}, the file has {file_bytes:,}")
