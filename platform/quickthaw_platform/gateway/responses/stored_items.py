"""What a response is made from that was stored before: items of others, by reference or as what was said so far."""

from __future__ import annotations

from typing import Any

from quickthaw_platform.errors import InvalidRequest
from quickthaw_platform.gateway.responses.body import Draft
from quickthaw_platform.gateway.responses.events import ResponseEvents
from quickthaw_platform.gateway.responses.items import invocation_in
from quickthaw_platform.gateway.responses.schema import Item
from quickthaw_platform.gateway.sse import compact
from quickthaw_platform.gateway.stored import log_so_far, stored
from quickthaw_platform.gateway.turns import in_turns
from quickthaw_platform.invocations.stored import Kind, StoredObject

MOST_CHARACTERS = 4 << 20
"""Of stored items, as JSON, that a response is made from: one request may refer to the same large item many times."""

_WHOLE = ("completed", "incomplete")


def identity_of(invocation: str) -> str:
    """Return the id of the response that an invocation answers."""
    return f"resp_{invocation}"


def draft_of(found: StoredObject) -> Draft:
    """Return what is kept of a response."""
    return Draft(found.id, int(found.created_at), found.model, found.body["request"], found.metadata)


def as_it_stands(found: StoredObject) -> dict[str, Any]:
    """Return a stored response as it stands, from its invocation's log."""
    return ResponseEvents(draft_of(found), found.invocation).read(log_so_far(found.invocation))


class StoredItems:
    """The stored items that one request asks for, no more of them than MOST_CHARACTERS."""

    def __init__(self) -> None:
        self._characters = 0
        self._known: dict[str, dict[str, tuple[Item, int]]] = {}  # by invocation and id: an item, and its characters

    def before(self, identity: str) -> list[Item]:
        """Return the items that a request goes on from: those of a stored response, and what was answered."""
        place = "previous_response_id"
        previous = stored(Kind.RESPONSE, identity, place)
        found = as_it_stands(previous)
        if found["status"] not in _WHOLE:
            raise InvalidRequest(
                f"{place}: {identity} is {found['status']}; only one that was answered can be gone on from", param=place
            )
        items = [*previous.body["items"], *found["output"]]
        for item in in_turns(items):
            self._count(len(compact(item)), place)
        return items

    def find(self, identity: str, place: str) -> Item:
        """Return the item of a stored response that `item_reference` means; InvalidRequest where there is none."""
        invocation = invocation_in(identity)
        if invocation is not None:
            if invocation not in self._known:
                self._known[invocation] = _items_of(stored(Kind.RESPONSE, identity_of(invocation), place))
            if identity in self._known[invocation]:
                item, characters = self._known[invocation][identity]
                self._count(characters, place)
                return dict(item)
        raise InvalidRequest(f"{place}: no stored item has the id {identity!r}", param=place)

    def _count(self, characters: int, place: str) -> None:
        self._characters += characters
        if self._characters > MOST_CHARACTERS:
            raise InvalidRequest(
                f"{place}: the stored items that this request is made from have more than {MOST_CHARACTERS:,} "
                "characters; begin a new conversation with what still matters",
                param=place,
            )


def _items_of(found: StoredObject) -> dict[str, tuple[Item, int]]:
    items = (*found.body["items"], *as_it_stands(found)["output"])  # of two with one id the answer's counts
    return {item["id"]: (item, len(compact(item))) for item in in_turns(items)}
