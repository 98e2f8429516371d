"""Make a response: what it goes on from, the call, what is kept of it, and the first answer to the client."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from flask import Response

from quickthaw.types import EventType, Version
from quickthaw_platform.errors import InvalidRequest
from quickthaw_platform.gateway.calls import ended, line, name_invocation, streaming
from quickthaw_platform.gateway.following import Line
from quickthaw_platform.gateway.openai.answer import failure
from quickthaw_platform.gateway.openai.calls import json_answer, opened, place, resolve, result
from quickthaw_platform.gateway.responses.body import Draft, repeated
from quickthaw_platform.gateway.responses.events import ResponseEvents
from quickthaw_platform.gateway.responses.items import invocation_in, items_of, named
from quickthaw_platform.gateway.responses.mapping import response_call
from quickthaw_platform.gateway.responses.schema import InputRequest, Item, ResponseRequest
from quickthaw_platform.gateway.responses.stream import ALL, stream
from quickthaw_platform.gateway.services import services
from quickthaw_platform.gateway.stored import keep, log_so_far, stored
from quickthaw_platform.invocations.stored import Kind, StoredObject

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


def count_tokens(request: InputRequest) -> int:
    """Return how many tokens a request's conversation has: by a call that generates nothing."""
    version = resolve(request.model, "messages")
    call = response_call(request, conversation(request), version.spec.handler, version.spec.tools or ())
    _, usage = result(place(version, [replace(call, sampling={**call.sampling, "max_tokens": 0})], None))
    return usage.prompt_tokens


def conversation(request: InputRequest) -> list[Mapping[str, Any]]:
    """Return the items that a request is about: those of the response that it goes on from, and its own."""
    earlier: list[Mapping[str, Any]] = []
    if request.previous_response_id is not None:
        earlier = _said_before(stored(Kind.RESPONSE, request.previous_response_id, "previous_response_id"))
    return [*earlier, *items_of(request.input, _stored_item)]


def create(request: ResponseRequest, idempotency_key: str | None) -> Response:
    """Answer a request for a response."""
    version, items = resolve(request.model, "messages"), conversation(request)
    call = response_call(request, items, version.spec.handler, version.spec.tools or ())
    kept_seconds = services().settings.stored_ttl if request.stored else None
    connection = place(version, [call], idempotency_key, keep_seconds=kept_seconds)
    draft = _begun(request, items, version, connection)
    invocation = connection.calls[0].id
    if request.background:
        connection = line()  # whoever hangs up ends nothing
    told = ResponseEvents(draft, invocation)
    if request.stream:
        return _streamed(connection, invocation, told)
    if request.background:
        name_invocation(invocation)
        return json_answer(told.response())
    return _whole(connection, invocation, told)


def _begun(request: ResponseRequest, items: list[Mapping[str, Any]], version: Version, connection: Line) -> Draft:
    """Return the draft of a response whose call was admitted, having kept what is to be kept."""
    invocation = connection.calls[0].id
    metadata = request.metadata or {}
    draft = Draft(identity_of(invocation), int(time.time()), request.model, repeated(request), metadata)
    if request.stored:
        body = {"request": draft.request, "items": named(items, invocation)}
        keep(connection, version, Kind.RESPONSE, draft.id, draft.model, body=body, metadata=metadata)
    return draft


def _whole(connection: Line, invocation: str, told: ResponseEvents) -> Response:
    events = list(connection.log(invocation))
    ended(invocation)
    if events and events[-1].type is EventType.ERROR:
        raise failure(events[-1])
    return json_answer(told.read(events))


def _streamed(connection: Line, invocation: str, told: ResponseEvents) -> Response:
    """Answer with a stream. A call that somebody waits for and that fails before its first output (or keep-alive) fails
    with its true status; one in the background is known at once.
    """
    started, log = opened(connection) if connection.calls else ([], connection.events(invocation))
    return streaming(connection.guard(stream(connection, invocation, started, log, told, ALL)), invocation)


def _said_before(previous: StoredObject) -> list[Mapping[str, Any]]:
    found = as_it_stands(previous)
    if found["status"] not in _WHOLE:
        raise InvalidRequest(
            f"previous_response_id: {previous.id} is {found['status']}; only one that was answered can be gone on from",
            param="previous_response_id",
        )
    return [*previous.body["items"], *found["output"]]


def _stored_item(identity: str, place: str) -> Item:
    """Return the item of a stored response that `item_reference` means; InvalidRequest where there is none."""
    invocation = invocation_in(identity)
    if invocation is not None:
        found = stored(Kind.RESPONSE, identity_of(invocation), place)
        for item in (*as_it_stands(found)["output"], *found.body["items"]):
            if item["id"] == identity:
                return dict(item)
    raise InvalidRequest(f"{place}: no stored item has the id {identity!r}", param=place)
