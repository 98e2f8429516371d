"""Forking a child for the cage that it is to enter."""

from __future__ import annotations

import os
from collections.abc import Callable

from quickthaw.types import Isolation, Network
from quickthaw_platform.cage.namespaces import Fork, fork_into_namespaces
from quickthaw_platform.cage.order import CageOrder


def fork_for(order: CageOrder, fork: Fork, run: Callable[[int], None], announce: Callable[[int], None]) -> int:
    """Fork a child that calls `announce`, then `run`, each with its process id out here, and exits; return that id.

    Where the cage has namespaces it is another process that announces the child, before this runs. `fork` forks a
    child that calls what it is given and exits. Raises StartFailed where the kernel refuses.
    """
    if order.level is Isolation.STRICT:
        return fork_into_namespaces(fork, run, announce, network=order.network is Network.HOST)

    def announce_and_run() -> None:
        announce(os.getpid())
        run(os.getpid())

    return fork(announce_and_run)
