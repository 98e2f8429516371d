"""How a node's worker is started."""

from __future__ import annotations

import sys

from quickthaw_platform.settings import Settings
from quickthaw_platform.worker.commands import queue_of

COMMAND_THREADS = 8
"""Threads that take commands; they wait for Redis only."""


def worker_argv(settings: Settings) -> list[str]:
    """Return the command line of the worker that is the node `settings.node`; `argv[0]` is this Python."""
    queue = queue_of(settings.node)
    return [
        *(sys.executable, "-P", "-m", "celery", "--quiet", "--app", "quickthaw_platform.worker.celery_app"),
        *("worker", "--queues", queue, "--hostname", f"{queue}@%h"),
        *("--pool", "threads", "--concurrency", str(COMMAND_THREADS)),
        *("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", settings.log_level),
    ]
