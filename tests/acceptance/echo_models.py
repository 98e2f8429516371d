"""Checkpoints for the echo engine whose weights take time to load: random bytes that nobody computes with."""

from __future__ import annotations

from pathlib import Path

import torch

from quickthaw_platform.checkpoints.layout import write_weights
from quickthaw_platform.checkpoints.manifest import FILE_NAME, Manifest

MIB = 1 << 20


def write_echo_model(folder: Path, name: str, mebibytes: int = 1) -> str:
    """Put a checkpoint into a disk tier's folder; returns its id."""
    staged = folder / f".staged-{name}"
    staged.mkdir(parents=True)
    seed = torch.Generator().manual_seed(sum(name.encode()))
    tensor = torch.randint(0, 255, (mebibytes * MIB,), dtype=torch.uint8, generator=seed)
    manifest = Manifest(
        name=name,
        task="generate",
        architecture="Echo",
        dtype="float32",
        bytes=tensor.nbytes,
        context_tokens=8192,
        source="test",
        source_digest=name,
        files=(),
        weights=write_weights(staged, {"weights": tensor}).files,
        created_at=1.0,
    )
    (staged / FILE_NAME).write_text(manifest.model_dump_json())
    staged.rename(folder / manifest.id)
    return manifest.id
