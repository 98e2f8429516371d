"""What of the node's file system an instance sees, and where. Pure but for the looks that gather what there is."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

PACKAGES = ("quickthaw", "quickthaw_platform", "quickthaw_backends")
"""Ours: installed as links to a checkout they are found without their folders being searched."""

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
"""Programs and libraries of the system, each a folder or a link."""

ETC = (
    *("alternatives", "ca-certificates", "fonts", "gai.conf", "host.conf", "hosts", "ld.so.cache", "ld.so.conf"),
    *("ld.so.conf.d", "localtime", "mime.types", "nsswitch.conf", "pki", "protocols", "resolv.conf", "services"),
    *("ssl", "timezone", "OpenCL", "vulkan"),
)
"""What the C library and clients of the network read of /etc. Accounts are not among it."""

KERNEL = ("/sys/devices/system", "/sys/kernel/mm")
"""What threads and allocators of memory ask of the kernel: processors, nodes of memory, huge pages."""

DEVICES = ("/dev/null", "/dev/full", "/dev/random", "/dev/urandom")
"""Not /dev/zero: mapped by several, it is memory that no limit counts."""

GPU_DEVICES = ("nvidia*", "dri", "kfd")
GPU_KERNEL = ("/sys",)


@dataclass(frozen=True, slots=True)
class View:
    """Absolute paths, the same inside and outside. What is in none of them is not there."""

    shown: tuple[str, ...]  # files and folders
    links: tuple[tuple[str, str], ...]  # (path, where it leads)
    devices: tuple[str, ...]  # device nodes, or folders of them
    hidden: tuple[str, ...]  # folders that are empty inside, though they lie in one that is shown
    own: tuple[str, ...]  # files and folders that are shown though they may lie in one that is hidden


def build(own: Sequence[str], hidden: Sequence[str], *, gpu: bool) -> View:
    """Gather what an instance is to see: Python, the system's programs and, even where it is in `hidden`, `own`."""
    system = [path for path in SYSTEM if Path(path).is_dir() and not Path(path).is_symlink()]
    links = tuple((path, str(Path(path).readlink())) for path in SYSTEM if Path(path).is_symlink())
    kernel = GPU_KERNEL if gpu else KERNEL
    etc = [f"/etc/{name}" for name in ETC]
    found = [path for path in (*system, *python_folders(), *etc, *kernel) if _is_there(path)]
    shown = outermost(found)
    devices = DEVICES + (
        tuple(str(path) for name in GPU_DEVICES for path in sorted(Path("/dev").glob(name))) if gpu else ()
    )
    covered = tuple(path for path in hidden if Path(path).is_dir() and any(is_within(path, other) for other in shown))
    inner = tuple(path for path in own if _is_there(path) and not is_seen(path, shown, covered))
    return View(tuple(shown), links, devices, covered, inner)


def _is_there(path: str) -> bool:
    """Whether there is something that this process can get to."""
    try:
        return Path(path).exists()
    except PermissionError:
        return False


def python_folders() -> list[str]:
    """Return the folders from which this Python imports, but for the one that it was started in."""
    prefixes = {sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix}
    packages = {
        folder for name in PACKAGES if name in sys.modules for folder in getattr(sys.modules[name], "__path__", ())
    }
    searched = {path for path in sys.path if path and os.path.realpath(path) != str(Path.cwd())}
    libraries = {path for path in os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep) if path}
    folders = {path for path in (*prefixes, *searched, *packages, *libraries) if path.startswith("/")}
    return sorted({*folders, *(os.path.realpath(path) for path in folders)} - {"/"})


def outermost(paths: Iterable[str]) -> list[str]:
    """Return the paths that lie in none of the others, in order."""
    kept: list[str] = []
    for path in sorted(set(paths)):
        if not any(is_within(path, other) for other in kept):
            kept.append(path)
    return kept


def is_seen(path: str, shown: Iterable[str], hidden: Iterable[str]) -> bool:
    """Whether a path lies in what is shown and in nothing of it that is hidden."""
    return any(is_within(path, other) for other in shown) and not any(is_within(path, other) for other in hidden)


def is_within(path: str, folder: str) -> bool:
    """Whether a path is the folder, or lies in it."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")
