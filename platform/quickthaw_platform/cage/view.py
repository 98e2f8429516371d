"""What of the node's file system an instance sees, and where. Pure but for the looks at what there is."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PACKAGES = ("quickthaw", "quickthaw_platform", "quickthaw_backends")
"""Ours: installed as links to a checkout they are found without their folders being searched."""

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
"""Programs and libraries of the system, each a folder or a link."""

ETC_FOLDERS = ("/etc/alternatives", "/etc/ca-certificates", "/etc/fonts", "/etc/pki", "/etc/ssl")
ETC_FILES = (
    *("/etc/hosts", "/etc/resolv.conf", "/etc/nsswitch.conf", "/etc/host.conf", "/etc/gai.conf", "/etc/services"),
    *("/etc/protocols", "/etc/mime.types", "/etc/localtime", "/etc/timezone", "/etc/ld.so.cache"),
)
"""What the C library and clients of the network read of /etc. Accounts are not among it."""

KERNEL = ("/sys/devices/system", "/sys/kernel/mm")
"""What threads and allocators of memory ask of the kernel: processors, nodes of memory, huge pages."""

DEVICES = ("/dev/null", "/dev/full", "/dev/random", "/dev/urandom")
"""Not /dev/zero: mapped by several, it is memory that no limit counts."""

GPU_DEVICES = ("nvidia*", "dri", "kfd")
GPU_KERNEL = ("/sys",)


@dataclass(frozen=True, slots=True)
class Common:
    """What all instances see. Absolute paths, the same inside and outside; what is in none of them is not there."""

    shown: tuple[str, ...]  # files and folders
    links: tuple[tuple[str, str], ...]  # (path, where it leads)
    copied: tuple[str, ...]  # small files
    devices: tuple[str, ...]  # device nodes, or folders of them


@dataclass(frozen=True, slots=True)
class View:
    """What one instance sees: what all do, but for what is hidden of it, and its own."""

    common: Common
    hidden: tuple[str, ...]  # folders that are empty inside, though they lie in one that is shown
    own: tuple[str, ...]  # files and folders that are shown though they may lie in one that is hidden


@cache
def common(*, gpu: bool) -> Common:
    """Gather Python, the system's programs and, with a GPU, its devices. A template does so for all its instances."""
    system = [path for path in SYSTEM if Path(path).is_dir() and not Path(path).is_symlink()]
    links = tuple((path, str(Path(path).readlink())) for path in SYSTEM if Path(path).is_symlink())
    kernel = GPU_KERNEL if gpu else KERNEL
    shown = [path for path in (*system, *python_folders(), *ETC_FOLDERS, *kernel) if _is_there(path)]
    copied = tuple(path for path in ETC_FILES if _is_there(path))
    names = GPU_DEVICES if gpu else ()
    devices = [path for path in DEVICES if _is_there(path)]
    devices += [str(path) for name in names for path in sorted(Path("/dev").glob(name))]
    return Common(tuple(outermost(shown)), links, copied, tuple(devices))


def of_instance(own: Sequence[str], hidden: Sequence[str], *, gpu: bool) -> View:
    """Return what an instance is to see: what all do and, even where that is in `hidden`, `own`."""
    shown = common(gpu=gpu).shown
    covered = tuple(path for path in hidden if any(is_within(path, other) for other in shown) and _is_there(path))
    inner = tuple(path for path in own if _is_there(path) and not is_seen(path, shown, covered))
    return View(common(gpu=gpu), covered, inner)


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
