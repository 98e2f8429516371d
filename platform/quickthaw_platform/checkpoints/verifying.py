"""Reads all of a checkpoint's folder and compares it with its manifest."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from quickthaw_platform.checkpoints.checksums import checksum
from quickthaw_platform.checkpoints.gguf_header import read_gguf_header
from quickthaw_platform.checkpoints.header import read_header
from quickthaw_platform.checkpoints.manifest import (
    CHUNK_BYTES,
    FILE_NAME,
    FileRecord,
    Manifest,
    WeightsFile,
    WeightsFormat,
)
from quickthaw_platform.errors import CheckpointBroken


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with which file, and with which chunk of a weights file (counted from 0)."""

    file: str
    what: str
    chunk: int | None = None


def find_faults(directory: Path, manifest: Manifest, progress: Callable[[int], None]) -> list[Fault]:
    """Return all that is wrong with a checkpoint; `progress` gets the size of each piece after it was read."""
    faults = []
    if manifest.id != directory.name:
        faults.append(Fault(FILE_NAME, f"is that of another checkpoint, {manifest.id}"))
    for record in manifest.every_file:
        try:
            faults += _faults(directory / record.path, record, progress)
            if isinstance(record, WeightsFile):
                faults += _header_faults(directory / record.path, record, manifest.weights_format)
        except OSError as error:
            faults.append(Fault(record.path, f"cannot be read: {error.strerror}"))
    return faults


def _faults(path: Path, record: FileRecord, progress: Callable[[int], None]) -> Iterator[Fault]:
    size = path.stat().st_size
    if size != record.bytes:
        yield Fault(record.path, f"has {size:,} bytes instead of {record.bytes:,}")
    chunks, algorithm = (record.chunks, record.algorithm) if isinstance(record, WeightsFile) else ((), "")
    digest, wrong = hashlib.sha256(), False
    for index, chunk in enumerate(_chunks(path)):
        digest.update(chunk)
        if index < len(chunks) and checksum(chunk, algorithm) != chunks[index]:
            wrong = True
            yield Fault(record.path, "has another checksum than recorded", index)
        progress(len(chunk))
    if not wrong and digest.hexdigest() != record.sha256:
        yield Fault(record.path, "has another SHA-256 than recorded")


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def _header_faults(path: Path, record: WeightsFile, weights_format: WeightsFormat) -> Iterator[Fault]:
    try:
        header = read_gguf_header(path) if weights_format == "gguf" else read_header(path)
    except CheckpointBroken as error:
        yield Fault(record.path, error.message.removeprefix(f"{path} "))
        return
    if header.data_offset != record.data_offset:
        yield Fault(record.path, f"has its data at byte {header.data_offset:,} instead of {record.data_offset:,}")
