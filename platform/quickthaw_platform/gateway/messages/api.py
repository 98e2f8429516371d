"""`POST /v1/messages` and `POST /v1/messages/count_tokens`."""

from __future__ import annotations

import itertools

from flask import Response, g

from quickthaw.resources import Scope
from quickthaw_platform.errors import QuickthawError
from quickthaw_platform.gateway.calls import CallHeaders, ended, name_invocation, streaming
from quickthaw_platform.gateway.following import Line
from quickthaw_platform.gateway.messages.errors import PATH, SCHEMA
from quickthaw_platform.gateway.messages.events import Head, MessageEvents, whole
from quickthaw_platform.gateway.messages.mapping import count_call, messages_call, shows_thinking
from quickthaw_platform.gateway.messages.schema import (
    CountRequest,
    MessageAnswer,
    MessagesRequest,
    TokenCount,
)
from quickthaw_platform.gateway.messages.stream import stream
from quickthaw_platform.gateway.openai.answer import outcome
from quickthaw_platform.gateway.openai.calls import json_answer, opened, place, resolve, result
from quickthaw_platform.gateway.resource import errors, resource
from quickthaw_platform.gateway.turns import in_turns

REQUEST_ID_HEADER = "request-id"
"""Where Anthropic's clients look for it."""

api = resource(
    "messages",
    __name__,
    "Anthropic-compatible messages",
    read=Scope.INVOKE,
    write=Scope.INVOKE,
    refusals=errors(SCHEMA),
)


@api.after_request
def _name_request(response: Response) -> Response:
    response.headers[REQUEST_ID_HEADER] = g.get("request_id", "")
    return response


@api.post(PATH, responses={200: MessageAnswer})
def create_message(header: CallHeaders, body: MessagesRequest) -> Response:
    """Answer a conversation as Anthropic does; with `stream: true` as server-sent events."""
    version = resolve(body.model, "messages")
    call = messages_call(body, version.spec.handler, version.spec.tools or ())
    connection = place(version, [call], header.idempotency_key)
    head = Head(f"msg_{connection.calls[0].id}", body.model)
    builder = MessageEvents(head, shows_thinking=shows_thinking(body))
    return _streamed(connection, builder) if body.stream else _whole(connection, builder)


@api.post(f"{PATH}/count_tokens", responses={200: TokenCount})
def count_tokens(header: CallHeaders, body: CountRequest) -> Response:
    """Count the tokens of a conversation by the function's own tokenizer: a call of it that generates nothing."""
    version = resolve(body.model, "messages")
    call = count_call(body, version.spec.handler, version.spec.tools or ())
    _, usage = result(place(version, [call], header.idempotency_key))
    return json_answer({"input_tokens": usage.prompt_tokens})


def _whole(connection: Line, builder: MessageEvents) -> Response:
    invocation = connection.calls[0].id
    try:
        events = list(connection.log(invocation))
        usage = outcome(events[-1])
    except QuickthawError:
        name_invocation(invocation)
        raise
    ended(invocation)
    fed = itertools.chain.from_iterable(map(builder.feed, in_turns(events)))
    return json_answer(whole(itertools.chain(fed, builder.end(usage))))


def _streamed(connection: Line, builder: MessageEvents) -> Response:
    """Answer with a stream; raises what `opened` raises."""
    started, events = opened(connection)
    body = stream(connection, started, events, builder, g.get("request_id", ""))
    return streaming(connection.guard(body), connection.calls[0].id)
