"""Builds the file system of an instance, in a mount namespace of its own: memory for what it writes, the rest as it is.

What it may read is shown where it lies outside, and cannot be written to; its process tree is in /proc alone.
"""

from __future__ import annotations

import os
from pathlib import Path

from quickthaw_platform.cage import kernel
from quickthaw_platform.cage.view import View

PAGES_BYTES = 4096
_FILES_OF_THEIR_OWN = 4096
"""Files that an instance may have beyond one for each page of its scratch memory."""

_STREAMS = (("fd", "/proc/self/fd"), ("stdin", "/proc/self/fd/0"), ("stdout", "/proc/self/fd/1"))
_LINKS = (*_STREAMS, ("stderr", "/proc/self/fd/2"))
_OPEN_TO_ALL = ("tmp", "dev/shm", "var/tmp")


def build(view: View, workdir: Path, scratch_bytes: int, user: int, group: int) -> None:
    """Make what `view` names all that this process sees, and `workdir` empty and its own.

    `workdir` exists outside; what lies there is not seen. Raises OSError where the kernel refuses.
    """
    root = workdir
    os.umask(0o022)  # what is made here is the instance's to see, whoever it is
    kernel.mount("none", Path("/"), "", kernel.MS_REC | kernel.MS_PRIVATE)
    _mount_memory(root, scratch_bytes)
    for path, target in view.common.links:
        _place(root, path).symlink_to(target)
    for path in view.common.copied:
        _place(root, path).write_bytes(Path(path).read_bytes())
    for path in view.common.shown:
        _show(root, path)
    kernel.make_read_only(root)  # and all below it, at once
    kernel.make_writable(root)
    for path in view.hidden:
        _mount_memory(root / path.lstrip("/"), scratch_bytes)
    for path in view.own:
        kernel.make_read_only(_show(root, path))
    _make_devices(root, view.common.devices)
    _make_own_folders(root, workdir, user, group)
    kernel.mount("proc", _folder(root, "/proc"), "proc", kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC)
    kernel.change_root(root)


def _mount_memory(target: Path, size_bytes: int) -> None:
    files = size_bytes // PAGES_BYTES + _FILES_OF_THEIR_OWN
    kernel.mount(
        "tmpfs", target, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, f"size={size_bytes},nr_inodes={files},mode=755"
    )


def _show(root: Path, path: str) -> Path:
    target = _place(root, path)
    if Path(path).is_dir():
        target.mkdir(exist_ok=True)
    else:
        target.touch()
    kernel.mount(path, target, "", kernel.MS_BIND | kernel.MS_REC)
    return target


def _make_devices(root: Path, devices: tuple[str, ...]) -> None:
    folder = _folder(root, "/dev")
    for path in devices:
        _show(root, path)
    for name, target in _LINKS:
        (folder / name).symlink_to(target)


def _make_own_folders(root: Path, workdir: Path, user: int, group: int) -> None:
    for name in _OPEN_TO_ALL:
        _folder(root, f"/{name}").chmod(0o1777)
    own = _folder(root, str(workdir))
    os.chown(own, user, group)
    etc = _folder(root, "/etc")
    (etc / "passwd").write_text(f"function:x:{user}:{group}::{workdir}:/bin/sh\n")
    (etc / "group").write_text(f"function:x:{group}:\n")


def _folder(root: Path, path: str) -> Path:
    folder = root / path.lstrip("/")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _place(root: Path, path: str) -> Path:
    """Return where a path lies below the root to be, with the folders above it made."""
    place = root / path.lstrip("/")
    place.parent.mkdir(parents=True, exist_ok=True)
    return place
