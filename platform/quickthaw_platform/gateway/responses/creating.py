"""Make a response: what it goes on from, the call, what is kept of it, and the first answer to the client."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from flask import Response

from quickthaw.types import EventType, Version
from quickthaw_platform.gateway.calls import ended, line, name_invocation, streaming
from quickthaw_platform.gateway.following import Line
from quickthaw_platform.gateway.openai.answer import failure
from quickthaw_platform.gateway.openai.calls import json_answer, opened, place, resolve, result
from quickthaw_platform.gateway.responses.body import Draft, repeated
from quickthaw_platform.gateway.responses.events import ResponseEvents
from quickthaw_platform.gateway.responses.items import items_of, named
from quickthaw_platform.gateway.responses.mapping import response_call
from quickthaw_platform.gateway.responses.schema import InputRequest, Item, ResponseRequest
from quickthaw_platform.gateway.responses.stored_items import StoredItems, identity_of
from quickthaw_platform.gateway.responses.stream import ALL, stream
from quickthaw_platform.gateway.services import services
from quickthaw_platform.gateway.stored import keep
from quickthaw_platform.invocations.stored import Kind


def count_tokens(request: InputRequest) -> int:
    """Return how many tokens a request's conversation has: by a call that generates nothing."""
    version = resolve(request.model, "messages")
    call = response_call(request, conversation(request), version.spec.handler, version.spec.tools or ())
    _, usage = result(place(version, [replace(call, sampling={**call.sampling, "max_tokens": 0})], None))
    return usage.prompt_tokens


def conversation(request: InputRequest) -> list[Mapping[str, Any]]:
    """Return the items that a request is about: those of the response that it goes on from, and its own."""
    stored_items, earlier = StoredItems(), list[Item]()
    if request.previous_response_id is not None:
        earlier = stored_items.before(request.previous_response_id)
    return [*earlier, *items_of(request.input, stored_items.find)]


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
