"""What of its control group this process may hand on to groups below it, found out and taken."""

from __future__ import annotations

import contextlib
import errno
import os
from dataclasses import dataclass
from pathlib import Path

from quickthaw_platform.control_groups.place import folder_of

WANTED = ("cpu", "memory", "pids")
"""The controllers that bound an instance."""

OWN = "quickthaw-platform"
"""The group below the delegated one in which the platform's own processes are: a group whose controllers are handed on
to others below it may hold no process (the kernel's "no internal processes" rule)."""

_THIS_PROCESS = "0"

ADVICE = (
    "let the worker have a group of its own: under systemd `Delegate=cpu memory pids` in its unit; in a container a "
    "cgroup namespace of its own with /sys/fs/cgroup writable"
)

OF_VERSION_1 = "a host that has them in cgroup v1 is to boot with systemd.unified_cgroup_hierarchy=1"


@dataclass(frozen=True, slots=True)
class Delegation:
    """Where groups of instances can be made, and what those can bound."""

    folder: Path | None = None  # None: nowhere
    controllers: tuple[str, ...] = ()  # of WANTED
    why: str = ""  # there are not all of them; empty: there are


def look() -> Delegation:
    """Say what could be taken, without a change, if no other processes were in the way: `foreseen` says that."""
    own = folder_of(_read(Path("/proc/self/cgroup")), _read(Path("/proc/self/mountinfo")))
    return Delegation(why=f"no cgroup v2 is mounted here; {ADVICE}") if own is None else below(own)


def below(own: Path) -> Delegation:
    """Say what could be taken by a process whose group has the folder `own`."""
    folder = own.parent if own.name == OWN else own
    if not _is_delegated(folder):
        return Delegation(why=f"{folder} is not this user's to write; {ADVICE}")
    there = (folder / "cgroup.controllers").read_text().split()
    controllers = tuple(name for name in WANTED if name in there)
    missing = [name for name in WANTED if name not in there]
    return Delegation(
        folder,
        controllers,
        f"{folder} has no controller {', '.join(missing)}; {ADVICE}; {OF_VERSION_1}" if missing else "",
    )


def take(found: Delegation) -> Delegation:
    """Hand what was found on to groups to be made; this process may be moved into OWN for that, which takes some 10 ms.

    Returns what there is then: nothing of it raises.
    """
    if found.folder is None or not found.controllers:
        return found
    try:
        _hand_on(found.folder, found.controllers)
    except OSError as error:
        if error.errno == errno.EBUSY:
            return _shared(found.folder)
        return Delegation(found.folder, (), f"{found.folder}: {error.strerror}; {ADVICE}")
    return found


def foreseen(found: Delegation) -> Delegation:
    """Say, without a change, what `take` would return in a process that took this one's place."""
    if found.folder is None or not found.controllers:
        return found
    handed_on = (found.folder / "cgroup.subtree_control").read_text().split()
    is_root = not (found.folder / "cgroup.type").exists()  # of the hierarchy: that may hold processes
    if is_root or set(found.controllers) <= set(handed_on):
        return found
    others = set((found.folder / "cgroup.procs").read_text().split()) - {str(os.getpid())}
    return _shared(found.folder) if others else found


def _shared(folder: Path) -> Delegation:
    return Delegation(folder, (), f"other processes are in {folder}; {ADVICE}")


def _is_delegated(folder: Path) -> bool:
    names = ("", "cgroup.procs", "cgroup.subtree_control")
    return all(os.access(folder / name, os.W_OK) for name in names)


def _hand_on(folder: Path, controllers: tuple[str, ...]) -> None:
    file, wanted = folder / "cgroup.subtree_control", " ".join(f"+{name}" for name in controllers)
    try:
        _write(file, wanted)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        own = folder / OWN
        own.mkdir(exist_ok=True)
        _write(own / "cgroup.procs", _THIS_PROCESS)
        try:
            _write(file, wanted)
        except OSError:
            _write(folder / "cgroup.procs", _THIS_PROCESS)
            with contextlib.suppress(OSError):  # another worker may be in it by now
                own.rmdir()
            raise


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except FileNotFoundError:  # as in a kernel without control groups
        return ""


def _write(file: Path, text: str) -> None:
    file.write_text(text)
