"""Forking a child for the cage that it is to enter."""

from __future__ import annotations

import os
from collections.abc import Callable

from quickthaw.types import Isolation
from quickthaw_platform.cage.namespaces import Fork, fork_as_first
from quickthaw_platform.cage.order import CageOrder


def fork_for(order: CageOrder, fork: Fork, run: Callable[[int], None], announce: Callable[[int], None]) -> int:
    """Fork a child that calls `announce`, then `run`, each with its process id out here, and exits; return that id.

    At `strict` the child does not know that id by itself. `fork` forks a child that calls what it is given and exits.
    Raises StartFailed where the kernel refuses.
    """
    if order.level is Isolation.STRICT:
        return fork_as_first(fork, run, announce)

    def announce_and_run() -> None:
        announce(os.getpid())
        run(os.getpid())

    return fork(announce_and_run)
