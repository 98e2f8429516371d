"""The header of a GGUF file (specified in ggml's docs/gguf.md): its metadata, and where each tensor is.

Little-endian: the magic `GGUF`, the version, how many tensors and how many pairs there are; the pairs of key and value;
for each tensor its name, dimensions (fastest first), type and offset; then, from the next multiple of
`general.alignment` on, the data, to which the offsets are relative. Imports nothing heavy.
"""

from __future__ import annotations

import mmap
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quickthaw_platform.checkpoints.header import shown
from quickthaw_platform.errors import CheckpointBroken

MAGIC = b"GGUF"
VERSIONS = (2, 3)
DEFAULT_ALIGNMENT = 32
MAX_DIMENSIONS = 4

MAX_HEADER_BYTES = 128 << 20
"""The largest vocabularies take a quarter of it. Reading so many empty texts takes a second or two."""

MAX_TENSORS = 1 << 18
MAX_PAIRS = 1 << 16
"""Models have a few dozen."""

MAX_ALIGNMENT = 1 << 16
"""Files use 32, some a page; what is put together anew is filled up to it in memory."""

MAX_PARTS = 99_999
"""Of a split file: their names have five digits."""

_HEAD = struct.Struct("<4sIQQ")
_COUNT = struct.Struct("<Q")
_KIND = struct.Struct("<I")
_ARRAY_HEAD = struct.Struct("<IQ")
_SCALARS = {
    0: struct.Struct("<B"), 1: struct.Struct("<b"), 2: struct.Struct("<H"), 3: struct.Struct("<h"),
    4: struct.Struct("<I"), 5: struct.Struct("<i"), 6: struct.Struct("<f"), 7: struct.Struct("<?"),
    10: struct.Struct("<Q"), 11: struct.Struct("<q"), 12: struct.Struct("<d"),
}  # fmt: skip
_STRING, _ARRAY = 8, 9
_KINDS: Mapping[str, type] = {
    "general.alignment": int, "general.architecture": str, "general.license": str, "general.type": str,
    "adapter.type": str, "split.count": int, "split.no": int,
}  # fmt: skip
"""What a key's value has to be where it is there."""

_PART = re.compile(r"^(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})$")


@dataclass(frozen=True, slots=True)
class GgufTensor:
    """A tensor: its type is a number of `ggml_type`, its offset is counted from where the data begins."""

    name: str
    shape: tuple[int, ...]  # the fastest dimension first
    type: int
    offset: int


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """What stands before a file's data. Arrays of the metadata (vocabularies) are left out."""

    metadata: Mapping[str, Any]
    pairs: Mapping[str, tuple[int, int]]  # where in the file each key with its value begins and ends, arrays included
    tensors: tuple[GgufTensor, ...]
    data_offset: int

    @property
    def alignment(self) -> int:
        """The multiple on which data and every tensor begin, in bytes."""
        return int(self.metadata.get("general.alignment", DEFAULT_ALIGNMENT))

    @property
    def architecture(self) -> str:
        """llama.cpp's name for the kind of model, for example llama."""
        return str(self.metadata.get("general.architecture", ""))


def read_gguf_header(file: Path) -> GgufHeader:
    """Read a file's header. Raises CheckpointBroken, which names the file and what is wrong with it."""
    try:
        with file.open("rb") as opened:
            size = file.stat().st_size
            if size < _HEAD.size:
                raise ValueError(f"it has {size:,} bytes")
            with mmap.mmap(opened.fileno(), 0, prot=mmap.PROT_READ) as mapped:
                return _parse(mapped)
    except OSError as error:
        raise CheckpointBroken(f"{file} cannot be read: {error.strerror}") from error
    except (ValueError, OverflowError, struct.error) as error:
        raise CheckpointBroken(f"{file} is not a whole GGUF file: {error}") from error


def part_of(stem: str) -> tuple[str, int, int] | None:
    """Return (stem of all parts, number from 1, how many) of the name of one part of a split file, without `.gguf`."""
    match = _PART.match(stem)
    return None if match is None else (match["stem"], int(match["number"]), int(match["count"]))


def part_name(stem: str, number: int, count: int) -> str:
    """Return the file name of a part, counted from 1, as llama.cpp's tools spell it."""
    return f"{stem}-{number:05d}-of-{count:05d}.gguf"


class _Reader:
    """Walks over the header; whatever would lead out of the file is a ValueError or a struct.error."""

    def __init__(self, data: mmap.mmap) -> None:
        self.data = data
        self.end = min(len(data), MAX_HEADER_BYTES)
        self.at = 0

    def unpack(self, form: struct.Struct) -> tuple[Any, ...]:
        values = form.unpack_from(self.data, self.at)
        self.at += form.size
        return values

    def skip(self, count: int) -> None:
        self.at += count
        if self.at > self.end:
            limit = "the file" if self.end == len(self.data) else f"the {MAX_HEADER_BYTES:,} bytes that one may have"
            raise ValueError(f"its header leads out of {limit}")

    def string(self) -> str:
        begin = self.at + _COUNT.size
        (length,) = self.unpack(_COUNT)
        self.skip(length)
        return self.data[begin : self.at].decode()

    def value(self, kind: int) -> Any:
        if kind == _STRING:
            return self.string()
        if kind == _ARRAY:
            return self.skip_array()
        if kind not in _SCALARS:
            raise ValueError(f"it has a value of the unknown type {kind}")
        return self.unpack(_SCALARS[kind])[0]

    def skip_array(self) -> None:
        element, length = self.unpack(_ARRAY_HEAD)
        if element in _SCALARS:
            self.skip(_SCALARS[element].size * length)
        elif element == _STRING:
            self.skip_strings(length)
        else:
            raise ValueError(f"it has an array of the unknown type {element}")

    def skip_strings(self, count: int) -> None:
        data, at, size, read = self.data, self.at, _COUNT.size, _COUNT.unpack_from
        if count * size > self.end - at:
            self.skip(count * size)
        for _ in range(count):  # a vocabulary has hundreds of thousands: no calls that can be spared
            at += size + read(data, at)[0]
        self.at = at
        self.skip(0)

    def tensor(self) -> GgufTensor:
        name = self.string()
        (dimensions,) = self.unpack(_KIND)
        if dimensions > MAX_DIMENSIONS:
            raise ValueError(f"tensor {shown(name)} has {dimensions} dimensions")
        shape = self.unpack(struct.Struct(f"<{dimensions}Q"))
        kind, offset = self.unpack(struct.Struct("<IQ"))
        return GgufTensor(name, shape, kind, offset)


def _parse(data: mmap.mmap) -> GgufHeader:
    reader = _Reader(data)
    magic, version, tensors, pairs = reader.unpack(_HEAD)
    if magic != MAGIC:
        raise ValueError("it does not begin with GGUF")
    if version not in VERSIONS:
        raise ValueError(f"it is of version {version}; known are {' and '.join(map(str, VERSIONS))}")
    if tensors > MAX_TENSORS or pairs > MAX_PAIRS:
        raise ValueError(f"it says that it has {tensors:,} tensors and {pairs:,} values")
    metadata, places = {}, {}
    for _ in range(pairs):
        begin, key = reader.at, reader.string()
        (kind,) = reader.unpack(_KIND)
        value = reader.value(kind)
        if key in places:
            raise ValueError(f"{shown(key)} stands in its header twice")
        places[key] = (begin, reader.at)
        if kind != _ARRAY:
            metadata[key] = value
    found = tuple(reader.tensor() for _ in range(tensors))
    _refuse_other_kinds(metadata)
    alignment = metadata.get("general.alignment", DEFAULT_ALIGNMENT)
    if not 1 <= alignment <= MAX_ALIGNMENT:
        raise ValueError(f"its alignment is {alignment!r}")
    data_offset = -(-reader.at // alignment) * alignment
    _refuse_outside(found, alignment, data_offset, len(data))
    return GgufHeader(metadata, places, found, data_offset)


def _refuse_other_kinds(metadata: Mapping[str, Any]) -> None:
    for key, kind in _KINDS.items():
        if key in metadata and not isinstance(metadata[key], kind):
            wanted = "text" if kind is str else "whole number"
            raise ValueError(f"{key} is {shown(metadata[key])}, which is no {wanted}")
    number, count = metadata.get("split.no", 0), metadata.get("split.count", 0)
    if number < 0 or not 0 <= count <= MAX_PARTS:
        raise ValueError(f"it says that it is part {number} of {count}")


def _refuse_outside(tensors: tuple[GgufTensor, ...], alignment: int, data_offset: int, file_bytes: int) -> None:
    names: set[str] = set()
    for tensor in tensors:
        if tensor.name in names:
            raise ValueError(f"tensor {shown(tensor.name)} stands in its header twice")
        names.add(tensor.name)
        if tensor.offset % alignment:
            raise ValueError(f"tensor {shown(tensor.name)} does not begin on a multiple of {alignment} bytes")
        if data_offset + tensor.offset > file_bytes:
            raise ValueError(f"tensor {shown(tensor.name)} begins behind the file's end")
