"""A checkpoint without tensors, for the echo engine."""

from __future__ import annotations

from pathlib import Path

from quickthaw_platform.checkpoints.layout import write_weights
from quickthaw_platform.checkpoints.manifest import FILE_NAME, Manifest

MODEL = "echo-model"


def write_checkpoint(folder: Path) -> str:
    """Put a checkpoint without tensors, for the echo engine, on the disk; returns its id."""
    staged = folder / ".staged"
    staged.mkdir(parents=True)
    manifest = Manifest(
        name=MODEL,
        task="generate",
        architecture="Echo",
        dtype="float32",
        bytes=0,
        context_tokens=8192,
        source="test",
        source_digest="0",
        files=(),
        weights=write_weights(staged, {}).files,
        created_at=1.0,
    )
    (staged / FILE_NAME).write_text(manifest.model_dump_json())
    staged.rename(folder / manifest.id)
    return manifest.id
