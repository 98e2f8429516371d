"""A checkpoint as it travels in frames, from the agent to the processes that map it, with its open files beside it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from quickthaw_platform.contracts import Checkpoint
from quickthaw_platform.worker.frames import Frame

_OWN = Path("/proc/self/fd")
_BESIDE = "beside"
"""In place of a path: the file comes as a descriptor beside the frame."""


def to_frame(checkpoint: Checkpoint) -> Frame:
    """Return a checkpoint as part of a frame, beside which its `descriptors` are to be sent, in their order."""
    return {
        "id": checkpoint.id,
        "path": str(checkpoint.path),
        "manifest": dict(checkpoint.manifest),
        "weights": [_named(path) for path in checkpoint.weights],
        "arrival": None if checkpoint.arrival is None else _named(checkpoint.arrival),
    }


def from_frame(described: Frame, take_fd: Callable[[], int]) -> Checkpoint:
    """Read what `to_frame` wrote; `take_fd` gives the descriptors that came beside it, which stay the caller's."""

    def path_of(named: str) -> Path:
        return _OWN / str(take_fd()) if named == _BESIDE else Path(named)

    return Checkpoint(
        id=described["id"],
        path=Path(described["path"]),
        manifest=described["manifest"],
        weights=tuple(map(path_of, described["weights"])),
        arrival=None if described["arrival"] is None else path_of(described["arrival"]),
    )


def descriptors(checkpoint: Checkpoint | None) -> list[int]:
    """Return the descriptors of this process that a checkpoint's paths lead to, in the order of a frame."""
    if checkpoint is None:
        return []
    arrival = () if checkpoint.arrival is None else (checkpoint.arrival,)
    return [int(path.name) for path in (*checkpoint.weights, *arrival) if path.parent == _OWN]


def _named(path: Path) -> str:
    return _BESIDE if path.parent == _OWN else str(path)
