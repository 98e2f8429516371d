"""The engine that a template has prepared: what all its instances, and its primed templates, are forked with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from quickthaw_platform.cage.levels import Grant
from quickthaw_platform.contracts import Checkpoint, Engine
from quickthaw_platform.worker import checkpoint_frames


@dataclass(frozen=True, slots=True)
class PreparedEngine:
    """What a template has prepared, and what it forks instances with."""

    engine: Engine
    name: str  # of the engine
    options: Mapping[str, Any]
    checkpoint: Checkpoint
    grant: Grant  # how far instances can be isolated

    @property
    def files(self) -> list[int]:
        """The descriptors of the checkpoint, from which engines may read until they have started."""
        return checkpoint_frames.descriptors(self.checkpoint)
