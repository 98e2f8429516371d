"""Putting a chunk right on the disk, where its bytes were wrong."""

from __future__ import annotations

import os
from pathlib import Path

import structlog

from quickthaw_platform.checkpoints.manifest import CHUNK_BYTES
from quickthaw_platform.metering import metrics

_log = structlog.get_logger()


def rewrite(file: Path, chunk: int, right: memoryview) -> None:
    """Write the right bytes of a chunk over the wrong ones. A disk that takes them not leaves only a warning."""
    metrics.chunk_repairs_total.inc()
    try:
        handle = os.open(file, os.O_WRONLY)
        try:
            os.pwrite(handle, right, chunk * CHUNK_BYTES)
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        _log.warning("a wrong chunk stays on the disk", file=str(file), chunk=chunk, error=str(error))
        return
    _log.warning("a wrong chunk was repaired from the remote tier", file=str(file), chunk=chunk)
