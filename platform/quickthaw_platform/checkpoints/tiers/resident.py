"""A checkpoint in a node's memory, there or on its way, and who uses it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from quickthaw_platform.checkpoints.arrival import ArrivalWriter
from quickthaw_platform.checkpoints.manifest import Manifest
from quickthaw_platform.checkpoints.reading.load import Load
from quickthaw_platform.checkpoints.reading.memory import Block
from quickthaw_platform.checkpoints.tiers.eviction import Cached
from quickthaw_platform.contracts import Checkpoint

Tier = Literal["dram", "disk", "remote"]
"""Where weights come from, nearest first."""


@dataclass(slots=True, eq=False)
class Resident:
    """Weights in blocks of memory or, where there are none, in the page cache of the files in `path`."""

    manifest: Manifest
    path: Path  # configuration and tokenizer; the weights too where `blocks` is empty
    tier: Tier  # where they come from in this load
    arrival: ArrivalWriter
    cached: Cached
    blocks: tuple[Block, ...] = ()
    users: set[str] = field(default_factory=set)  # instances, and whoever reads or writes it now
    templates: set[str] = field(default_factory=set)  # keys of templates that map it
    load: Load | None = None
    work: Future[None] | None = None  # the load, later the writing behind it
    complete: bool = False
    completed_at: float | None = None  # by the process' monotonic clock
    let_go: Callable[[], None] = lambda: None  # called when it is dropped

    @property
    def held(self) -> bool:
        """Whether a process may map it."""
        return bool(self.users or self.templates)

    @property
    def bytes_left(self) -> int:
        """What has still to come."""
        return 0 if self.load is None or self.complete else self.load.bytes - self.load.bytes_done

    def checkpoint(self) -> Checkpoint:
        """Return what engines take. The paths to memory lead through descriptors of this process: to another one they
        are handed over while it is used (worker.checkpoint_frames).
        """
        ours = Path("/proc/self/fd")
        return Checkpoint(
            id=self.manifest.id,
            path=self.path,
            manifest=self.manifest.model_dump(mode="json"),
            weights=tuple(ours / str(block.fd) for block in self.blocks),
            arrival=None if self.complete else ours / str(self.arrival.fd),
        )
