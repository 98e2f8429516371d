"""The process that does an import: `python -m quickthaw_platform.checkpoints.importers.import_process`.

What it is to do comes on standard input, as the JSON of an ImportOrder. What it says goes to standard output, a line of
JSON each: `{"stage", "done", "total"}` again and again, and at the end `{"id", "existed", "cost"}` or `{"error"}`, with
`trace` where that is none of ours.

Files of strangers are read by libraries that were not made for those that mean harm. While they are, the kernel ends
this process where it computes for too long, and gives it no more memory than a file of that size can need.
"""

from __future__ import annotations

import json
import math
import os
import resource
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TextIO

from quickthaw_platform.checkpoints.importers.importing import Imported, import_checkpoint
from quickthaw_platform.checkpoints.store import DiskStore
from quickthaw_platform.errors import InvalidRequest, QuickthawError
from quickthaw_platform.parent_death import die_with_parent

BYTES_A_SECOND = 5e6
"""Of a source that are read in a second of computing at least: dequantising is slowest."""

_UNBOUND = frozenset({"measure", "write", "publish"})
"""Stages behind the reading: only tensors are computed with, which are as large as their shapes say."""


@dataclass(frozen=True, slots=True)
class ImportOrder:
    """What is to be imported, see `import_checkpoint`, and what reading it takes at most.

    That is `memory_factor` times its bytes (1.6 bits a weight may be dequantised to 32, and a tensor is there twice for
    a moment) and `memory_bytes`; its bytes by BYTES_A_SECOND and `seconds` of computing.
    """

    source: str
    store: str
    name: str | None
    dtype: str | None
    partitions: int
    quantization: Literal["int8"] | None
    text: str | None
    key_folder: str
    seconds: int = 60  # some of them go to importing the libraries
    memory_bytes: int = 6 << 30
    memory_factor: int = 48


def main() -> None:
    """Do one import."""
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C is for whoever asked
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    order = ImportOrder(**json.load(sys.stdin))
    with os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1) as out:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print is for people
        _say(out, _outcome(order, lambda stage, done, total: _progress(out, stage, done, total)))


def _outcome(order: ImportOrder, progress: Callable[[str, int, int | None], None]) -> dict[str, Any]:
    try:
        done = import_checkpoint(
            order.source,
            DiskStore(Path(order.store)),
            order.name,
            order.dtype,
            progress,
            partitions=order.partitions,
            quantization=order.quantization,
            text=order.text,
            key_folder=Path(order.key_folder),
            on_found=lambda size: _bound(order, size),
        )
    except QuickthawError as error:
        return {"error": error.to_json()}
    except MemoryError:
        return {"error": InvalidRequest(f"{order.source} takes more memory to read than a model of its size").to_json()}
    except BaseException as error:  # noqa: BLE001 - a panic of a library in Rust is no Exception
        unexpected = QuickthawError(f"{type(error).__name__}: {error}")
        return {"error": unexpected.to_json(), "trace": traceback.format_exc()}
    return _result(done)


def _result(done: Imported) -> dict[str, Any]:
    cost = None if done.cost is None else asdict(done.cost)
    return {"id": done.checkpoint.id, "existed": done.existed, "cost": cost}


def _progress(out: TextIO, stage: str, done: int, total: int | None) -> None:
    if stage in _UNBOUND:
        _limit(resource.RLIMIT_CPU, resource.RLIM_INFINITY)
        _limit(resource.RLIMIT_DATA, resource.RLIM_INFINITY)
    _say(out, {"stage": stage, "done": done, "total": total})


def _bound(order: ImportOrder, size: int) -> None:
    """Bound what reading a source of so many bytes takes from now on."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _limit(resource.RLIMIT_CPU, math.ceil(used.ru_utime + used.ru_stime + order.seconds + size / BYTES_A_SECOND))
    _limit(resource.RLIMIT_DATA, order.memory_bytes + size * order.memory_factor)


def _limit(kind: int, wanted: int) -> None:
    """Set the limit that may be raised again, below the one that may not."""
    _, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (wanted if hard == resource.RLIM_INFINITY or 0 <= wanted < hard else hard, hard))


def _say(out: TextIO, message: dict[str, Any]) -> None:
    out.write(json.dumps(message) + "\n")


if __name__ == "__main__":
    main()
