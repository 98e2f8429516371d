"""An import in a process of its own, which is bounded while it reads what strangers have made."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from quickthaw_platform.checkpoints.importers.import_process import ImportOrder
from quickthaw_platform.checkpoints.importers.importing import Imported
from quickthaw_platform.checkpoints.importers.quantizing import QuantizationCost
from quickthaw_platform.checkpoints.importers.source import Progress
from quickthaw_platform.checkpoints.store import DiskStore
from quickthaw_platform.errors import InvalidRequest, from_json

_MODULE = "quickthaw_platform.checkpoints.importers.import_process"


def import_apart(order: ImportOrder, progress: Progress) -> Imported:
    """Import as `import_checkpoint` does, and raise what it raises.

    Raises InvalidRequest too for a source that takes far more time or memory to read than its size explains.
    """
    with TemporaryDirectory(prefix="quickthaw-import-") as folder:  # one that is killed leaves its temporary files
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", _MODULE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "TMPDIR": folder},
        )
        try:
            last = _followed(process, order, progress)
        finally:
            process.kill()  # where this one was interrupted; else it has ended
            status = process.wait()
    if "error" in last:
        error = from_json(last["error"])
        error.add_note(last.get("trace", ""))
        raise error
    if "id" not in last:
        raise InvalidRequest(_reason(order.source, status))
    cost = last["cost"] and QuantizationCost(**last["cost"])
    return Imported(DiskStore(Path(order.store)).find(last["id"]), last["existed"], cost)


def _followed(process: subprocess.Popen[str], order: ImportOrder, progress: Progress) -> dict[str, Any]:
    """Tell of its stages, and return the last that it has said: that is none of them where it came to an end."""
    assert process.stdin is not None, "it is a pipe"
    assert process.stdout is not None, "it is a pipe"
    last: dict[str, Any] = {}
    with process.stdin as told, process.stdout as said:
        json.dump(asdict(order), told)
        told.close()
        for line in said:
            last = json.loads(line)
            if "stage" in last:
                progress(last["stage"], last["done"], last["total"])
    return last


def _reason(source: str, status: int) -> str:
    if status == -signal.SIGXCPU:
        return f"{source} takes far longer to read than a model of its size; do not trust it"
    how = signal.Signals(-status).name if status < 0 else f"status {status}"
    return (
        f"{source} cannot be read: the process that did ended with {how}. Either this machine has too little memory "
        "for it, or it is made to harm; do not trust it"
    )
