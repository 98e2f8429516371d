"""The control groups of a node's instances: made as far as this process may, and not at all where it may not."""

from __future__ import annotations

from quickthaw_platform.control_groups import delegation, limits
from quickthaw_platform.control_groups.delegation import Delegation
from quickthaw_platform.control_groups.group import Group, end_abandoned
from quickthaw_platform.control_groups.limits import Limits


class ControlGroups:
    """`start` once, before the processes are started whose children are to have groups."""

    def __init__(self) -> None:
        self.delegation = Delegation(why="it has not been looked for yet")

    def start(self) -> None:
        """Take what may be handed on, and end what a worker that was killed has left in groups of its own."""
        self.delegation = delegation.take(delegation.look())
        if self.delegation.folder is not None:
            end_abandoned(self.delegation.folder)

    def make(self, name: str, wanted: Limits, *, ends_anyway: bool) -> Group | None:
        """Make a group for an instance; None where there can be none, or where it would do nothing.

        `ends_anyway` says that all its processes end with its first one, as in a pid namespace: then a group that
        bounds nothing is not needed. Raises OSError where the kernel refuses.
        """
        found = self.delegation
        if found.folder is None or (ends_anyway and not found.controllers):
            return None
        memory = wanted.memory_bytes if "memory" in found.controllers else None
        return Group.make(found.folder, name, limits.files_of(wanted, found.controllers), memory)
