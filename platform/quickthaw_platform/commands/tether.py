"""`python -m quickthaw_platform.commands.tether PARENT COMMAND…`: run COMMAND, to be killed when PARENT dies."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from quickthaw_platform import signals
from quickthaw_platform.parent_death import die_with_parent


def tethered(command: Sequence[str]) -> list[str]:
    """Return the command line that runs `command` tied to this process; start it from the main thread.

    The kernel counts the death of the starting *thread*, so a thread that ends would take the child along.
    """
    return [sys.executable, "-P", "-m", __name__, str(os.getpid()), *command]


def main(parent: int, command: Sequence[str]) -> None:
    """Tie this process to its parent, then become `command`, with no signal ignored or blocked."""
    signals.start_afresh()
    die_with_parent()
    if os.getppid() != parent:  # it died before the tie was made
        sys.exit(1)
    try:
        os.execvp(command[0], list(command))
    except OSError as error:
        sys.exit(f"{command[0]} cannot be run: {error.strerror}")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
