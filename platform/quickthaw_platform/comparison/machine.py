"""Describes what a comparison was measured on: hardware, kernel, versions, commit."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import psutil

Described = dict[str, str | int | float | None]
_SOURCE = Path(__file__).parent.parent


def describe_machine() -> Described:
    """Return this machine as plain JSON. `load_average` tells whether something else ran on it at the beginning."""
    return {
        "cpu": cpu_info().get("model name", platform.processor()),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / (1 << 30), 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "quickthaw": version("quickthaw"),
        "torch": version("torch"),
        "transformers": version("transformers"),
        "load_average": round(os.getloadavg()[0], 2),
    }


def source_commit() -> str:
    """Return the commit of the program's source, `-dirty` appended where files were changed; else its version.

    Where the program was installed without its repository there is no commit to tell.
    """
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"],
            cwd=_SOURCE, capture_output=True, text=True, check=False,
        )  # fmt: skip
    except FileNotFoundError:  # no git
        return f"version {version('quickthaw')}"
    return described.stdout.strip() or f"version {version('quickthaw')}"


def cpu_info() -> dict[str, str]:
    """Return what the kernel says of the first processor, by its names."""
    lines = Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
    pairs = (line.partition(":") for line in lines)
    return {key.strip(): value.strip() for key, _, value in pairs}
