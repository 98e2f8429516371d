"""What an instance may use as a whole, and what to write into its group's files for that. Pure.

Source of the files' meaning: the kernel's Documentation/admin-guide/cgroup-v2.rst.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

KERNEL_BYTES = 64 << 20
"""What the kernel keeps for an instance's processes, sockets and files, and counts as theirs."""

PAGE_TABLE_SHARE = 512
"""Of mapped weights the kernel keeps one byte in so many: eight for each page of 4 KiB."""

DEFAULT_WEIGHT = 100
MOST_WEIGHT = 10_000


@dataclass(frozen=True, slots=True)
class Limits:
    """For all processes of an instance together."""

    memory_bytes: int | None  # beyond what they share with their template until they write it; None: no limit
    tasks: int  # processes and threads
    weight: float  # of processor time where it is short, relative to others; 1 is ordinary


def memory_of(
    *, function_bytes: int, scratch_bytes: int, stacks_bytes: int, weights_bytes: int, adapter_bytes: int
) -> int:
    """Return what an instance may use beyond its template.

    That is what the function may allocate, what it may write to files in memory, its threads' stacks, the copy of its
    adapter, and what the kernel keeps for it. Mapped weights are not in it: they are counted for the worker, who reads
    them; and those that an instance reads again are given up before it runs out of memory.
    """
    kernel = KERNEL_BYTES + weights_bytes // PAGE_TABLE_SHARE
    return function_bytes + scratch_bytes + stacks_bytes + adapter_bytes + kernel


def files_of(limits: Limits, controllers: Collection[str]) -> dict[str, str]:
    """Return the text for each file of a new group, by name, but for `memory.max`; see `joining`."""
    files: dict[str, str] = {}
    if "memory" in controllers:
        files |= {"memory.oom.group": "1", "memory.swap.max": "0"}
    if "pids" in controllers:
        files["pids.max"] = str(limits.tasks)
    if "cpu" in controllers:
        files["cpu.weight"] = str(min(max(round(DEFAULT_WEIGHT * limits.weight), 1), MOST_WEIGHT))
    return files


def ran_out_of_memory(events: str) -> bool:
    """Whether processes were killed for memory.max, by the text of a group's memory.events."""
    return any(line.startswith("oom_kill ") and line.split()[1] != "0" for line in events.splitlines())
