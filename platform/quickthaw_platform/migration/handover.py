"""Taking an invocation over from the instance that runs it, seen by the destination.

Whatever fails, and wherever, the invocation has exactly one owner: before `accept` that is the source, which has not
even been told; after it the destination. Who dies is found by those who look after all owners (controller.sweep).
"""

from __future__ import annotations

import enum
import time
from dataclasses import dataclass, replace
from typing import Protocol

from quickthaw_platform.invocations.records import Accepted, History, Offer
from quickthaw_platform.migration.plan import takes_over


class Store(Protocol):
    """What is asked of the invocations (invocations.store.InvocationStore)."""

    def history(self, identity: str, after: History = ...) -> History:
        """Return what was put out and recorded since."""

    def accept(self, offer: Offer, known: History) -> Accepted | None:
        """Make the offered instance the owner; None where it is too late."""

    def decline(self, offer: Offer, reason: str) -> None:
        """Give the reserved slot back, and keep why."""


class Destination(Protocol):
    """The instance that takes over. Every method blocks until it is done, and raises QuickthawError if it cannot be."""

    def hold(self, history: History) -> None:
        """Run the invocation with an open record, as soon as the instance serves, and compute all of it."""

    def extend(self, since: History) -> None:
        """Add to the record, and compute that."""

    def take(self, accepted: Accepted, known: History) -> None:
        """Close the record with what came last: it is the owner now, and goes on live."""

    def drop(self) -> None:
        """Stop: it will not be the owner."""


class Result(enum.StrEnum):
    """How a migration ended."""

    MOVED = "moved"
    LATE = "late"  # the invocation ended first, or was not offered any more


@dataclass(frozen=True, slots=True)
class Handover:
    """How a migration went."""

    result: Result
    rounds: int
    tokens: int  # that were known at the handover
    seconds: float  # from the first round, the start of the instance not counted
    accepted: Accepted | None = None


def take_over(store: Store, offer: Offer, destination: Destination) -> Handover:
    """Take the offered invocation over. Whatever is raised: the destination has dropped it; decline it then."""
    try:
        return _take_over(store, offer, destination)
    except BaseException:
        destination.drop()
        raise


def _take_over(store: Store, offer: Offer, destination: Destination) -> Handover:
    known = store.history(offer.invocation)
    destination.hold(known)
    begun = time.monotonic()
    rounds = 1
    while not takes_over((since := store.history(offer.invocation, known)).tokens, rounds):
        destination.extend(since)
        known = known + since
        rounds += 1
    accepted = store.accept(offer, known)
    how = Handover(Result.MOVED, rounds, known.tokens, time.monotonic() - begun, accepted)
    if accepted is None:
        destination.drop()
        return replace(how, result=Result.LATE)
    destination.take(accepted, known)
    return how
