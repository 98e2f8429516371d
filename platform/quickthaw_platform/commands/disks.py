"""Whether the disks are there, with room: one that is not mounted must not be filled up elsewhere."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from quickthaw_platform.errors import SettingsInvalid
from quickthaw_platform.settings import Settings

FSTAB = Path("/etc/fstab")

LEAST_MEBIBYTES = 16
"""Free where the data directory is: what a platform writes there until it is up, a few times over."""

LEAST_FILES = 200
ROOM = "make room there, or set QUICKTHAW_DATA_DIR to a folder on another disk"
"""What to do where there is none."""


def require_disk(settings: Settings, where: str = "disk_dir") -> None:
    """Raise SettingsInvalid, beginning with `where`, unless the disk tier may be written to where `disk_dir` says.

    A folder outside the data directory has to exist, and a disk that /etc/fstab has for it to be mounted. One inside
    the data directory is made when it is needed, as the default is.
    """
    if settings.disk_dir is None:
        return
    folder = settings.checkpoints_dir.resolve()
    fstab = FSTAB.read_text() if FSTAB.is_file() else ""
    missing = unmounted(folder, fstab, Path.is_mount)
    if missing is not None:
        raise SettingsInvalid(f"{where}: {folder} is on {missing}, which is not mounted; mount it and start again")
    inside = folder.is_relative_to(settings.data_dir.expanduser().resolve())
    if not inside and not folder.is_dir():
        raise SettingsInvalid(
            f"{where}: the folder {folder} does not exist; once its disk is mounted, make it: mkdir -p {folder}"
        )


def require_room(data_dir: Path) -> None:
    """Raise SettingsInvalid where the disk of the data directory has too little room for a platform to start."""
    disk = os.statvfs(data_dir)
    free = disk.f_bavail * disk.f_frsize >> 20
    lacks = None
    if disk.f_blocks > 0 and free < LEAST_MEBIBYTES:  # some file systems do not say how large they are
        lacks = f"{free} MiB free, of {LEAST_MEBIBYTES} MiB that"
    elif disk.f_files > 0 and disk.f_favail < LEAST_FILES:
        lacks = f"room for {disk.f_favail} more files, of {LEAST_FILES} that"
    if lacks is not None:
        raise SettingsInvalid(f"the data directory {data_dir} is on a disk with {lacks} a start takes at least; {ROOM}")


def unmounted(folder: Path, fstab: str, is_mount: Callable[[Path], bool]) -> Path | None:
    """Return the mount point that /etc/fstab has for a folder and where nothing is mounted; None where all is well."""
    rows = (line.split() for line in fstab.splitlines() if not line.lstrip().startswith("#"))
    points = [Path(row[1].replace("\\040", " ")) for row in rows if len(row) > 2 and row[1].startswith("/")]
    above = [point for point in points if point != Path("/") and folder.is_relative_to(point)]
    return next((point for point in above if not is_mount(point)), None)
