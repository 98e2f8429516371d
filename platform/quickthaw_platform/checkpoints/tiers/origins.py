"""The two places that weights come from into memory, and how a load from each is set up."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import structlog

from quickthaw_platform.checkpoints.arrival import ArrivalWriter
from quickthaw_platform.checkpoints.manifest import Manifest, weights_paths
from quickthaw_platform.checkpoints.reading.disk import DiskSource
from quickthaw_platform.checkpoints.reading.load import Load
from quickthaw_platform.checkpoints.reading.memory import Block, MemoryPool
from quickthaw_platform.checkpoints.reading.residency import resident_bytes
from quickthaw_platform.checkpoints.reading.source import ByteSource
from quickthaw_platform.checkpoints.remote.checkpoints import RemoteCheckpoints
from quickthaw_platform.checkpoints.tiers import repair
from quickthaw_platform.checkpoints.tiers.disk import DiskTier
from quickthaw_platform.checkpoints.tiers.eviction import Cached
from quickthaw_platform.checkpoints.tiers.memory import take_blocks
from quickthaw_platform.checkpoints.tiers.resident import Resident, Tier
from quickthaw_platform.contracts import Checkpoint
from quickthaw_platform.errors import StartFailed

WARM_SHARE = 0.95
"""From this share in the page cache on, a checkpoint's files are mapped as they are and not read into a block."""

FETCH_THREADS = 4
"""Connections of one load from beyond: one alone does not fill a network."""

FETCH_BYTES = 32 << 20
"""Asked for at a time: a request costs a round trip."""

RELOAD_BYTES_PER_SECOND = 1e9
"""Bringing back from disk costs all checkpoints alike, so the measure does not matter."""

_log = structlog.get_logger()


class Origin(Protocol):
    """A checkpoint where it lies now."""

    @property
    def manifest(self) -> Manifest:
        """What is there."""

    def prepare(self) -> Resident:
        """Return it with a load that has not begun. Raises StartFailed and RemoteError, with nothing left behind."""


@dataclass(frozen=True, slots=True)
class OnDisk:
    """On this node's disk. `backup` is where single chunks that are wrong there are fetched again."""

    found: Checkpoint
    manifest: Manifest
    pool: MemoryPool
    backup: ByteSource | None
    threads: int
    bytes_per_second: float | None

    def prepare(self) -> Resident:
        """What is warm is verified where it is; what is cold is read into huge pages, where there are any."""
        paths = weights_paths(self.found)
        warm = sum(map(resident_bytes, paths)) >= WARM_SHARE * self.manifest.weights_bytes
        blocks = () if warm or not self.pool.huge else self._blocks()
        tier: Tier = "dram" if warm else "disk"
        resident = _resident(self.manifest, self.found.path, tier, blocks, DiskTier.pin(self.found.path))
        resident.load = Load(
            self.manifest.weights,
            DiskSource(paths, through_cache=not blocks),
            [block.view for block in blocks] or None,
            resident.arrival,
            backup=self.backup,
            on_repair=lambda file, chunk, right: repair.rewrite(paths[file], chunk, right),
            threads=self.threads,
            bytes_per_second=None if warm else self.bytes_per_second,
        )
        return resident

    def _blocks(self) -> tuple[Block, ...]:
        try:
            return take_blocks(self.pool, self.manifest)
        except OSError as error:
            _log.warning("no block of memory; reading through the page cache", error=str(error))
            return ()


@dataclass(frozen=True, slots=True)
class Beyond:
    """In the remote tier. `directory` takes configuration and tokenizer."""

    manifest: Manifest
    remote: RemoteCheckpoints
    directory: Path
    pool: MemoryPool
    threads: int
    bytes_per_second: float | None
    stop: Callable[[], bool]

    def prepare(self) -> Resident:
        """The weights go straight to memory; the disk is written behind them (see write_behind)."""
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir(parents=True)
        self.remote.fetch_small(self.manifest, self.directory, self.stop)
        source = self.remote.source(self.manifest)
        try:
            blocks = take_blocks(self.pool, self.manifest)
        except OSError as error:
            source.close()
            raise StartFailed(f"the kernel gives no memory for checkpoint {self.manifest.name!r}: {error}") from error
        resident = _resident(self.manifest, self.directory, "remote", blocks, self._clean)
        resident.load = Load(
            self.manifest.weights,
            source,
            [block.view for block in blocks],
            resident.arrival,
            threads=max(self.threads, FETCH_THREADS),
            read_bytes=FETCH_BYTES,
            bytes_per_second=self.bytes_per_second,
        )
        return resident

    def _clean(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)


def _resident(
    manifest: Manifest, path: Path, tier: Tier, blocks: tuple[Block, ...], let_go: Callable[[], None]
) -> Resident:
    cached = Cached(
        manifest.id, manifest.weights_bytes, reload_seconds=manifest.weights_bytes / RELOAD_BYTES_PER_SECOND
    )
    return Resident(manifest, path, tier, ArrivalWriter(), cached, blocks, let_go=let_go)
