"""A checkpoint as it travels in frames, from the agent to the processes that map it."""

from __future__ import annotations

from pathlib import Path

from quickthaw_platform.contracts import Checkpoint
from quickthaw_platform.worker.frames import Frame


def to_frame(checkpoint: Checkpoint) -> Frame:
    """Return a checkpoint as part of a frame."""
    return {
        "id": checkpoint.id,
        "path": str(checkpoint.path),
        "manifest": dict(checkpoint.manifest),
        "weights": [str(path) for path in checkpoint.weights],
        "arrival": None if checkpoint.arrival is None else str(checkpoint.arrival),
    }


def from_frame(described: Frame) -> Checkpoint:
    """Read what `to_frame` wrote."""
    return Checkpoint(
        id=described["id"],
        path=Path(described["path"]),
        manifest=described["manifest"],
        weights=tuple(map(Path, described["weights"])),
        arrival=None if described["arrival"] is None else Path(described["arrival"]),
    )
