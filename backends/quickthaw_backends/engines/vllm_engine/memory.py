"""How an instance's memory is divided on a CPU, where vLLM's own copy of the weights is part of it."""

from __future__ import annotations

import resource

import psutil

from quickthaw.errors import StartFailed

MIB = 1 << 20

OWN_BYTES = 1024 * MIB
"""What vLLM 0.32 allocates beside weights and cache: 650 MiB with its threads, and 250 more while it reads weights."""

LEAST_CACHE_BYTES = 64 * MIB


def bytes_left() -> int | None:
    """Return how much more this process may allocate; None: it has no limit."""
    limit, _ = resource.getrlimit(resource.RLIMIT_DATA)
    return None if limit == resource.RLIM_INFINITY else limit - psutil.Process().memory_info().data


def cache_bytes(share: int, left: int | None, weights: int) -> int:
    """Return how large vLLM's cache may be: `share`, or less where weights of so many bytes leave less.

    StartFailed says how much memory the function needs. Pure.
    """
    if left is None:
        return share
    found = min(share, left - weights - OWN_BYTES)
    if found < LEAST_CACHE_BYTES:
        needed = -(-(weights + OWN_BYTES + 2 * LEAST_CACHE_BYTES) // MIB)
        raise StartFailed(
            f"vLLM needs {weights // MIB} MiB for its own copy of the weights and {OWN_BYTES // MIB} MiB for itself, "
            f"and {max(0, left) // MIB} MiB are left; deploy the function with a memory of {needed} MiB or more"
        )
    return found
