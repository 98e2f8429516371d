"""Writing what came from beyond to the disk tier, behind the start that it came for."""

from __future__ import annotations

import shutil
from collections.abc import Callable

from quickthaw_platform.checkpoints.manifest import FILE_NAME
from quickthaw_platform.checkpoints.reading.direct import write_file
from quickthaw_platform.checkpoints.store import DiskStore
from quickthaw_platform.checkpoints.tiers.resident import Resident
from quickthaw_platform.contracts import Checkpoint


def publish(store: DiskStore, resident: Resident, stop: Callable[[], bool]) -> Checkpoint:
    """Write a checkpoint whose weights are in blocks of memory. Raises OSError, LoadCancelled; nothing stays then."""
    with store.staging(resident.manifest.id) as staged:
        for file in resident.manifest.files:
            target = staged / file.path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(resident.path / file.path, target)
        for weights, block in zip(resident.manifest.weights, resident.blocks, strict=True):
            write_file(staged / weights.path, block.view[: weights.bytes], stop)
        (staged / FILE_NAME).write_text(resident.manifest.model_dump_json(indent=1) + "\n")
        return store.publish(staged)
