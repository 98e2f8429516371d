"""Calling a function: waiting for its end, streaming its events, or not waiting; and by its trigger URL."""

from __future__ import annotations

from typing import Any

from flask import Response, url_for
from pydantic import RootModel

from quickthaw.resources import InvokeRequest, Scope, Webhook
from quickthaw.types import EventType, InvocationInfo
from quickthaw_platform.errors import InvalidRequest
from quickthaw_platform.gateway.admission import Admitted, Order, admit
from quickthaw_platform.gateway.auth import principal
from quickthaw_platform.gateway.calls import (
    INVOCATION_HEADER,
    CallHeaders,
    StreamHeaders,
    count_request,
    ended,
    line,
    streaming,
)
from quickthaw_platform.gateway.native_stream import stream
from quickthaw_platform.gateway.openai.answer import failure
from quickthaw_platform.gateway.prompt_compression.applying import with_shorter_prompt
from quickthaw_platform.gateway.resource import FunctionPath, answer, event_stream, resource
from quickthaw_platform.gateway.services import services
from quickthaw_platform.outbound.addresses import AddressRefused, check_host, host_of

api = resource("invoke", __name__, "Calling functions", read=Scope.INVOKE, write=Scope.INVOKE)


class TriggerInput(RootModel[dict[str, Any]]):
    """The handler's arguments, as they are."""


@api.post("/v1/functions/<name>/invoke", responses={200: InvocationInfo})
def invoke(header: CallHeaders, path: FunctionPath, body: InvokeRequest) -> Response:
    """Call a function and wait for its end; hanging up cancels it."""
    return _wait(_admit(path.name, body, header))


@api.post("/v1/functions/<name>/stream", responses={200: event_stream("the events of the invocation")})
def stream_function(header: StreamHeaders, path: FunctionPath, body: InvokeRequest) -> Response:
    """Call a function and stream its events; hanging up cancels it.

    `id:` is the position in the log. With an `Idempotency-Key` the same call with `Last-Event-ID` goes on behind that
    event. While the call waits, `status` events without an id tell its place, the reason and an estimate.
    """
    admitted = _admit(path.name, body, header)
    connection = line(admitted)
    return streaming(connection.guard(stream(connection, admitted.id, header.last_event_id)), admitted.id)


@api.post("/v1/functions/<name>/async", responses={202: InvocationInfo})
def invoke_async(header: CallHeaders, path: FunctionPath, body: InvokeRequest) -> Response:
    """Call a function without waiting; `Location` is where to look."""
    admitted = _admit(path.name, body, header)
    response = answer(services().store.get(admitted.id), 202)
    response.headers["Location"] = url_for("invocations.get_invocation", id=admitted.id)
    response.headers[INVOCATION_HEADER] = admitted.id
    return response


@api.post("/t/<name>", responses={200: InvocationInfo})
def trigger(header: CallHeaders, path: FunctionPath, body: TriggerInput) -> Response:
    """Call a function by its trigger URL: the body is the input as it is."""
    return _wait(_admit(path.name, InvokeRequest(input=body.root), header))


def _check_webhook(webhook: Webhook) -> None:
    """Refuse at once what a delivery would be refused for; names are looked up when it is delivered."""
    try:
        check_host(host_of(webhook.url), services().settings.webhook_allow)
    except ValueError as error:
        raise InvalidRequest(f"this is no URL: {error}", param="webhook.url") from error
    except AddressRefused as error:
        raise InvalidRequest(str(error), param="webhook.url") from error


def _admit(name: str, body: InvokeRequest, header: CallHeaders) -> Admitted:
    if body.webhook is not None:
        _check_webhook(body.webhook)
    version = services().registry.resolve(name, body.alias)
    order = Order(
        version=version,
        input=body.input,
        sampling=body.sampling.model_dump(exclude_unset=True) if body.sampling else {},
        chat=body.chat.model_dump(exclude_unset=True) if body.chat else {},
        limits=body.limits,
        webhook=body.webhook,
        idempotency_key=header.idempotency_key,
        compress=body.compress,
    )
    count_request()
    return admit(services(), principal(), with_shorter_prompt(order))


def _wait(admitted: Admitted) -> Response:
    for event in line(admitted).log(admitted.id):
        if event.ends:
            ended(admitted.id)
            if event.type is EventType.ERROR:
                raise failure(event)
    return answer(services().store.get(admitted.id))
