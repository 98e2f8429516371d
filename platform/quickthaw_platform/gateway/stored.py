"""Stored objects as callers reach them: only their own, with the log that holds the answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar

from quickthaw.resources import Scope
from quickthaw.types import Event, Version
from quickthaw_platform.errors import NotFound, QuickthawError
from quickthaw_platform.gateway.admission import cancel
from quickthaw_platform.gateway.auth import principal
from quickthaw_platform.gateway.following import Line
from quickthaw_platform.gateway.services import services
from quickthaw_platform.gateway.turns import give_way
from quickthaw_platform.invocations.stored import Kind, StoredObject

T = TypeVar("T")


def keep(
    connection: Line,
    version: Version,
    kind: Kind,
    identity: str,
    model: str,
    *,
    body: Mapping[str, Any],
    metadata: Mapping[str, str],
) -> None:
    """Keep an object of what a client waits for. Where that fails the call ends too: nobody could find its answer."""
    give_way()
    found = StoredObject(identity, kind, principal().key_id, connection.calls[0].id, model, body, metadata)
    try:
        services().stored.keep(found, version.spec.limits.total)
    except QuickthawError:
        connection.give_up(forget_keys=True)
        raise


def stored(kind: Kind, identity: str, param: str | None = None) -> StoredObject:
    """Return an object; NotFound where there is none that the current caller may see, at `param` of the request."""
    caller, found = principal(), services().stored.get(identity)
    mine = found is not None and (found.key_id == caller.key_id or caller.allows(Scope.ADMIN))
    if found is None or found.kind is not kind or not mine:
        raise NotFound(f"no stored {kind.value} has the id {identity!r}, or it has expired", param=param)
    return found


def log_so_far(invocation: str) -> list[Event]:
    """Return the events that an invocation's log has now; InvocationNotFound."""
    events: list[Event] = []
    while more := services().store.read(invocation, events[-1].seq if events else 0, 0):
        events += more
        give_way()
        if more[-1].ends:
            break
    return events


def forget(found: StoredObject) -> None:
    """Forget an object with all that was answered; ends it where it still runs. What it used is charged before."""
    cancel(services(), found.invocation, "its stored object was deleted")
    services().quotas.settle(principal().info)
    services().stored.drop(found.id)


def behind(items: Sequence[T], after: str | None, ids: Sequence[str]) -> Sequence[T]:
    """Return the items behind the one with the id `after`; NotFound where none has it."""
    if after is None:
        return items
    if after not in ids:
        raise NotFound(f"no item here has the id {after!r}", param="after")
    return items[ids.index(after) + 1 :]


def page_of(items: Iterable[Mapping[str, Any]], limit: int) -> dict[str, Any]:
    """Return the first `limit` items as OpenAI's lists are."""
    taken = list(islice(items, limit + 1))
    shown = taken[:limit]
    return {
        "object": "list",
        "data": shown,
        "first_id": shown[0]["id"] if shown else None,
        "last_id": shown[-1]["id"] if shown else None,
        "has_more": len(taken) > limit,
    }
