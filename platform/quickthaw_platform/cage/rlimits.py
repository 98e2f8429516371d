"""Limits that the kernel keeps for each process, at every level but `none`. Memory has its own: worker.sandbox."""

from __future__ import annotations

import resource

MOST_OPEN_FILES = 4096


def limit_files(largest_bytes: int) -> None:
    """Limit how large a file can become, and how many may be open at a time."""
    _lower(resource.RLIMIT_FSIZE, largest_bytes)
    _lower(resource.RLIMIT_NOFILE, MOST_OPEN_FILES)
    _lower(resource.RLIMIT_MSGQUEUE, 0)  # messages that no limit of memory counts


def limit_tasks(most: int) -> None:
    """Limit processes and threads together; they are counted by user, so only for a user of the instance's own."""
    _lower(resource.RLIMIT_NPROC, most)


def _lower(kind: int, value: int) -> None:
    _soft, hard = resource.getrlimit(kind)
    wanted = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (wanted, wanted))
