"""Files of the worker that an instance may read, where it is a user of its own."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

_ROOT = 0
_OTHERS_READ, _OTHERS_ENTER = stat.S_IROTH, stat.S_IROTH | stat.S_IXOTH


def let_instances_read(folder: Path) -> None:
    """Let other users read a folder and what is in it, where instances are other users: where this one is root.

    Whether they can get to it, the folders above decide; those of the platform's data are the worker's alone. What is
    not this user's is left as it is.
    """
    if os.geteuid() != _ROOT:
        return
    for path in (folder, *folder.rglob("*")):
        with contextlib.suppress(OSError):
            mode = path.stat().st_mode
            wanted = _OTHERS_ENTER if stat.S_ISDIR(mode) else _OTHERS_READ
            if mode & wanted != wanted:
                path.chmod(stat.S_IMODE(mode) | wanted)
