"""`/v1/responses`."""

from __future__ import annotations

from typing import Literal

from flask import Response
from pydantic import BaseModel, Field

from quickthaw.resources import Scope
from quickthaw_platform.errors import InvalidRequest
from quickthaw_platform.gateway.admission import cancel
from quickthaw_platform.gateway.calls import CallHeaders, line, streaming
from quickthaw_platform.gateway.openai.calls import json_answer
from quickthaw_platform.gateway.path_names import RESPONSE_PATTERN, NamingPath
from quickthaw_platform.gateway.resource import resource
from quickthaw_platform.gateway.responses.creating import count_tokens, create
from quickthaw_platform.gateway.responses.events import ResponseEvents
from quickthaw_platform.gateway.responses.schema import (
    InputRequest,
    InputTokens,
    ItemList,
    ResponseDeleted,
    ResponseObject,
    ResponseRequest,
)
from quickthaw_platform.gateway.responses.stored_items import as_it_stands, draft_of
from quickthaw_platform.gateway.responses.stream import ALL, stream
from quickthaw_platform.gateway.services import services
from quickthaw_platform.gateway.stored import behind, forget, page_of, stored
from quickthaw_platform.invocations.stored import Kind

api = resource(
    "openai-responses",
    __name__,
    "OpenAI-compatible responses; a key sees its own",
    read=Scope.INVOKE,
    write=Scope.INVOKE,
    prefix="/v1/responses",
)


class ResponsePath(NamingPath):
    """The response's id in the path."""

    response_id: str = Field(pattern=RESPONSE_PATTERN, description="id of the response")


class Retrieval(BaseModel):
    """How a response is to be told."""

    stream: bool = Field(False, description="as server-sent events, from its first on")
    starting_after: int | None = Field(None, ge=0, description="with `stream`: go on behind this `sequence_number`")


class ItemsPage(BaseModel):
    """Which items are to be listed."""

    after: str | None = Field(None, description="id of the item before the first")
    limit: int = Field(20, ge=0, le=100)
    order: Literal["asc", "desc"] = Field("desc", description="desc: the latest first")


@api.post("", responses={200: ResponseObject})
def create_response(header: CallHeaders, body: ResponseRequest) -> Response:
    """Answer a conversation with items; stored, streamed or in the background as the request says."""
    return create(body, header.idempotency_key)


@api.post("/input_tokens", responses={200: InputTokens})
def count_input_tokens(body: InputRequest) -> Response:
    """Count the tokens of what a response would be made from, by a call that generates nothing."""
    return json_answer({"object": "response.input_tokens", "input_tokens": count_tokens(body)})


@api.get("/<response_id>", responses={200: ResponseObject})
def get_response(path: ResponsePath, query: Retrieval) -> Response:
    """Return a stored response as it stands, or follow it; hanging up cancels nothing."""
    found = stored(Kind.RESPONSE, path.response_id)
    if query.starting_after is not None and not query.stream:
        raise InvalidRequest("starting_after needs stream=true", param="starting_after")
    if not query.stream:
        return json_answer(as_it_stands(found))
    after = ALL if query.starting_after is None else query.starting_after
    told, connection = ResponseEvents(draft_of(found), found.invocation), line()
    log = connection.events(found.invocation)
    return streaming(connection.guard(stream(connection, found.invocation, (), log, told, after)), found.invocation)


@api.delete("/<response_id>", responses={200: ResponseDeleted})
def delete_response(path: ResponsePath) -> Response:
    """Forget a response and all that was answered; one that still runs is cancelled."""
    forget(stored(Kind.RESPONSE, path.response_id))
    return json_answer({"id": path.response_id, "object": "response", "deleted": True})


@api.post("/<response_id>/cancel", responses={200: ResponseObject})
def cancel_response(path: ResponsePath) -> Response:
    """Cancel a response that runs in the background; one that has ended stays as it is."""
    found = stored(Kind.RESPONSE, path.response_id)
    if not draft_of(found).background:
        raise InvalidRequest(
            "only a response that runs in the background can be cancelled; hanging up cancels others",
            param="response_id",
        )
    cancel(services(), found.invocation, "cancelled by request")
    return json_answer(as_it_stands(found))


@api.get("/<response_id>/input_items", responses={200: ItemList})
def list_input_items(path: ResponsePath, query: ItemsPage) -> Response:
    """List the items that a response was made from, those of the responses before it included."""
    items = list(stored(Kind.RESPONSE, path.response_id).body["items"])
    if query.order == "desc":
        items.reverse()
    return json_answer(page_of(behind(items, query.after, [item["id"] for item in items]), query.limit))
