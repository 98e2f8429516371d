"""What the OpenAI endpoints share: finding the version, ordering the calls, and answering in one piece or in chunks."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

from flask import Response

from quickthaw.types import Event, EventType, Usage, Version
from quickthaw_platform.errors import InvocationCancelled, NotFound, QuickthawError
from quickthaw_platform.gateway.admission import Admitted, Order, admit
from quickthaw_platform.gateway.auth import principal
from quickthaw_platform.gateway.calls import count_request, ended, line, name_invocation, streaming
from quickthaw_platform.gateway.following import ClientGone, Line, first_output, opening
from quickthaw_platform.gateway.json_pieces import json_response
from quickthaw_platform.gateway.openai.answer import Answer, Head, collect, failure
from quickthaw_platform.gateway.openai.mapping import Call, check_serves, split_model
from quickthaw_platform.gateway.openai.stream import Chunks, stream
from quickthaw_platform.gateway.prompt_compression.applying import with_shorter_prompt
from quickthaw_platform.gateway.services import services


def resolve(model: str, argument: str) -> Version:
    """Return the version that a model id means; NotServable where it does not take `argument`.

    NotFound names the field `model`, which is what the caller sent.
    """
    name, alias = split_model(model)
    try:
        version = services().registry.resolve(name, alias)
    except NotFound as error:
        error.param = "model"
        raise
    handler = version.spec.handler
    check_serves(name, handler, argument, None if handler else services().catalogue.task(version.checkpoint))
    return version


def place(version: Version, calls: Sequence[Call], key: str | None, *, keep_seconds: float | None = None) -> Line:
    """Admit all calls under the idempotency key, or none: those before one that is refused are cancelled.

    `keep_seconds`: how long they are kept when they have ended; None: the setting invocation_ttl.
    """
    count_request()
    admitted: list[Admitted] = []
    try:
        for index, call in enumerate(calls):
            keyed = f"{key}.{index}" if key and len(calls) > 1 else key
            order = Order(
                version,
                call.input,
                call.sampling,
                call.chat,
                idempotency_key=keyed,
                keep_seconds=keep_seconds,
                places=call.places,
                compress=call.compress,
            )
            admitted.append(admit(services(), principal(), with_shorter_prompt(order)))
    except QuickthawError:
        line(*admitted).give_up(forget_keys=True)
        raise
    return line(*admitted)


def head(prefix: str, connection: Line, model: str) -> Head:
    """Return what every chunk of the answer repeats."""
    return Head(f"{prefix}-{connection.calls[0].id}", int(time.time()), model)


def whole(connection: Line, n: int) -> tuple[list[Answer], list[Usage]]:
    """Wait for every call; returns the answers of the first, then of the second, and what each used."""
    answers: list[Answer] = []
    usages: list[Usage] = []
    try:
        for call in connection.calls:
            found, usage = collect(connection.log(call.id), n)
            answers += found
            usages.append(usage)
    except QuickthawError:
        connection.give_up()  # the other prompts' calls: nobody waits for them now
        name_invocation(connection.calls[0].id)
        raise
    ended(connection.calls[0].id)
    return answers, usages


def result(connection: Line) -> tuple[Any, Usage]:
    """Wait for a single call; returns what its handler returned (else the list of its outputs), and what it used."""
    events = list(connection.log(connection.calls[0].id))
    ended(connection.calls[0].id)
    _raise_failure(events)
    usage = Usage.model_validate(events[-1].data.get("usage") or {})
    return events[-1].data.get("value"), usage


def opened(connection: Line) -> tuple[list[Event], Iterator[Sequence[Event]]]:
    """Return the first events of a line's first call, up to its first output or a keep-alive, and those that follow.

    Raises the error of a call that fails before, which so has its true status; the others of the line end then too.
    """
    first = connection.calls[0].id
    events = connection.events(first)
    try:
        started = opening(events, services().settings.sse_keepalive)
    except ClientGone:
        connection.hang_up()
        raise InvocationCancelled("the client hung up") from None
    output = first_output(started)
    if output is not None and output.type is EventType.ERROR:
        connection.give_up()
        ended(first)
        raise failure(output)
    return started, events


def chunked(connection: Line, chunks: Sequence[Chunks], include_usage: bool) -> Response:
    """Answer with a stream; raises what `opened` raises."""
    started, events = opened(connection)
    answer = stream(connection, started, events, chunks, include_usage)
    return streaming(connection.guard(answer), connection.calls[0].id)


def json_answer(body: dict[str, Any]) -> Response:
    """Return an answer in one piece."""
    return json_response(body)


def _raise_failure(events: Sequence[Event]) -> None:
    if events and events[-1].type is EventType.ERROR:
        raise failure(events[-1])
