"""GGUF files kept as they are, byte for byte: any number of parts, any quantisation, models and LoRA adapters."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from quickthaw_platform.checkpoints.gguf_header import part_name
from quickthaw_platform.checkpoints.importers import gguf_outline
from quickthaw_platform.checkpoints.importers.gguf_facts import GgufFacts, read_facts
from quickthaw_platform.checkpoints.importers.gguf_files import gguf_parts
from quickthaw_platform.checkpoints.importers.source import Source
from quickthaw_platform.checkpoints.layout import ChunkWriter
from quickthaw_platform.checkpoints.manifest import CHUNK_BYTES, Manifest, WeightsFile

_STEM = "weights"


class Copied(NamedTuple):
    """Where a part goes, and how large it is."""

    part: Path
    name: str
    bytes: int


def weights_files(source: Source) -> list[Copied]:
    """Return what is to be copied."""
    parts = gguf_parts(source.path)
    names = [f"{_STEM}.gguf"] if len(parts) == 1 else [
        part_name(_STEM, number, len(parts)) for number in range(1, len(parts) + 1)
    ]  # fmt: skip
    return [Copied(part, name, part.stat().st_size) for part, name in zip(parts, names, strict=True)]


def write_checkpoint(
    source: Source, name: str, digest: str, directory: Path, progress: Callable[[int, int], None]
) -> Manifest:
    """Write everything but the manifest, and return that. What an interrupted import left is continued."""
    files = weights_files(source)
    facts = read_facts([file.part for file in files])
    known = None
    if facts.task == "generate":
        known = gguf_outline.describe([file.part for file in files], facts.dtype, directory)
    weights = _copy_all(files, facts, directory, progress)
    return Manifest(
        name=name,
        task=facts.task,
        architecture=facts.architecture if known is None else known.architecture,
        gguf_architecture=facts.architecture,
        weights_format="gguf",
        dtype=facts.dtype,
        bytes=facts.tensor_bytes,
        tensors=facts.tensors,
        context_tokens=facts.context_tokens,
        license=facts.license or source.license,
        source=source.label,
        source_digest=digest,
        quantization=facts.quantization,
        files=() if known is None else known.files,
        weights=weights,
        created_at=time.time(),
    )


def _copy_all(
    files: list[Copied], facts: GgufFacts, directory: Path, progress: Callable[[int, int], None]
) -> tuple[WeightsFile, ...]:
    total, done = sum(file.bytes for file in files), 0

    def advance(size: int) -> None:
        nonlocal done
        done += size
        progress(done, total)

    return tuple(
        _copy(file, data_offset, directory, advance)
        for file, data_offset in zip(files, facts.data_offsets, strict=True)
    )


def _copy(file: Copied, data_offset: int, directory: Path, advance: Callable[[int], None]) -> WeightsFile:
    target = directory / file.name
    target.touch()
    with file.part.open("rb", buffering=0) as source, target.open("r+b", buffering=0) as opened:
        writer = ChunkWriter(opened)
        while piece := source.read(CHUNK_BYTES):
            writer.write(piece)
            advance(len(piece))
        opened.truncate()
        os.fsync(opened.fileno())
    return writer.record(file.name, data_offset=data_offset)
