"""Where a process is in the hierarchy of cgroup v2, from what the kernel says in /proc. Pure.

Source: cgroups(7) and proc(5), mountinfo.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

_KIND = "cgroup2"
_ROOT_AT, _MOUNTED_AT = 3, 4
_ESCAPED = {"\\040": " ", "\\011": "\t", "\\012": "\n", "\\134": "\\"}


def folder_of(cgroup: str, mountinfo: str) -> Path | None:
    """Return the folder of a process' group. None: no cgroup v2 is mounted, or the mount shows another part of it.

    `cgroup` and `mountinfo` are the texts of /proc/PID/cgroup and /proc/PID/mountinfo. Beside cgroup v1 (a hybrid host)
    the mount is somewhere below that of v1.
    """
    path = next((line.removeprefix("0::") for line in cgroup.splitlines() if line.startswith("0::")), None)
    if path is None:
        return None
    for line in mountinfo.splitlines():
        fields, _, kind = line.partition(" - ")
        if kind.startswith(_KIND + " "):
            root, mounted = (_plain(fields.split()[at]) for at in (_ROOT_AT, _MOUNTED_AT))
            if PurePosixPath(path).is_relative_to(root):
                return Path(mounted) / PurePosixPath(path).relative_to(root)
    return None


def _plain(path: str) -> str:
    for escaped, character in _ESCAPED.items():
        path = path.replace(escaped, character)
    return path
