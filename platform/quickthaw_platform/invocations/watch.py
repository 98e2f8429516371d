"""What is overdue, found and ended: the controller's view of invocations and nodes. All of it may be repeated."""

from __future__ import annotations

from dataclasses import dataclass

from redis import Redis

from quickthaw.types import Limits
from quickthaw_platform.errors import TimedOut
from quickthaw_platform.invocations.records import Ending, Lease, Overdue, Stopped
from quickthaw_platform.invocations.scripts import Scripts
from quickthaw_platform.invocations.store import parse_stopped

BATCH = 200
UNTOLD_SECONDS = 5.0
"""An assignment not begun for so long is told to its node again; an owner gone for so long is not coming back."""


@dataclass(frozen=True, slots=True)
class DeadNode:
    """A node whose heartbeat has ceased."""

    id: str
    last_seen: str  # as it was read, to tell whether it has come back


class Watch:
    """Finds what nobody else would end."""

    def __init__(self, redis: Redis) -> None:
        self._scripts = Scripts(redis)

    def dead_nodes(self, interval_seconds: float, heartbeat_ttl_seconds: float) -> list[DeadNode]:
        """Return the nodes silent for longer than the TTL while they were being watched; call it every interval.

        It may be called later or more often, and by several: only watched time counts.
        """
        flat = self._scripts.run("watch", interval_seconds, heartbeat_ttl_seconds)
        return [DeadNode(node, seen) for node, seen in zip(flat[::2], flat[1::2], strict=True)]

    def forget(self, node: DeadNode) -> bool:
        """Forget a dead node; False when it has come back or still has instances."""
        return bool(self._scripts.run("forget_node", node.id, node.last_seen))

    def overdue(self) -> list[Overdue]:
        """Return invocations whose start or total limit has run out, the longest overdue first; not all at once."""
        return [
            Overdue(
                invocation=identity,
                limits=Limits(start=start, total=total),
                reason=reason or None,
            )
            for identity, start, total, reason in self._scripts.run("due", BATCH)
        ]

    def expire(self, overdue: Overdue) -> Stopped:
        """End an invocation as timed out, if it still is overdue."""
        endings = (Ending(error=error.to_json()) for error in _timeouts(overdue))
        parts = [part for ending in endings for part in (ending.event(), ending.fields()[1])]
        return parse_stopped(self._scripts.run("expire", overdue.invocation, *parts))

    def webhook_due(self) -> bool:
        """Whether a webhook of an invocation that has ended is to be sent."""
        return bool(self._scripts.run("webhook_due"))

    def orphans(self) -> list[Lease]:
        """Return what has lost its instance, again and again until it is settled.

        What has been assigned for too long is put on its node's list again on the way.
        """
        return [Lease(identity, int(epoch)) for identity, epoch in self._scripts.run("stale", UNTOLD_SECONDS, BATCH)]


def _timeouts(overdue: Overdue) -> tuple[TimedOut, TimedOut]:
    """Return the errors for the start limit and for the total limit; which one ran out is decided when it is ended."""
    limits, why = overdue.limits, f" ({overdue.reason})" if overdue.reason else ""
    return (
        TimedOut(f"no instance served the invocation within {limits.start:g} s{why}", code="start_timeout"),
        TimedOut(f"the invocation did not end within {limits.total:g} s{why}", code="total_timeout"),
    )
