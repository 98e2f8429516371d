"""Child process: `python -m benchmarks.load_weights.child WAY FOLDER OPTIONS` loads a checkpoint once, by one way.

It answers two JSON lines on standard input. The first: everything is imported, and the memory that a node has already
is made. The second: the weights were loaded and touched; `{"seconds": …, "peak_bytes": …}`, the peak without what the
imports took.
"""

from __future__ import annotations

import json
import os
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.load_weights.files import Files
from benchmarks.load_weights.usage import Peak
from benchmarks.load_weights.ways import Way, touch
from benchmarks.processes import end_on_sigterm


def way_named(name: str, files: Files, options: dict[str, Any]) -> Way:
    """Return the way `MODULE.FUNCTION`, all that it needs imported; no other way's packages are."""
    module, _, function = name.partition(".")
    found = getattr(import_module(f"benchmarks.load_weights.ways.{module}"), function)
    way: Way = found(files, **options)
    return way


def measure(way: Way, peak: Peak) -> dict[str, float]:
    """Load and touch; the clock stands while memory is looked at in between."""
    began = time.perf_counter()
    arrays = way.load()
    loaded = time.perf_counter()
    peak.loaded()
    again = time.perf_counter()
    touch(arrays)
    seconds = loaded - began + time.perf_counter() - again
    return {"seconds": seconds, "peak_bytes": peak.bytes() if way.extra_bytes is None else way.extra_bytes()}


def main(name: str, folder: str, options: str) -> None:
    """Answer the two questions."""
    answers = os.fdopen(os.dup(1), "w")
    end_on_sigterm()  # so that temporary files go
    os.dup2(2, 1)  # whatever the libraries print goes to the log
    way = way_named(name, Files(Path(folder)), json.loads(options))
    peak = Peak()
    way.ahead()
    for answer in ({"ready": True}, None):
        sys.stdin.readline()
        print(json.dumps(answer or measure(way, peak)), file=answers, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
