"""Chat completions that were made with `store: true`: listed, read, labelled and deleted."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from flask import Response, request
from pydantic import BaseModel, Field

from quickthaw.resources import Scope
from quickthaw.types import Version
from quickthaw_platform.errors import InvocationNotFound, NotFound
from quickthaw_platform.gateway.auth import principal
from quickthaw_platform.gateway.following import Line
from quickthaw_platform.gateway.labels import Metadata
from quickthaw_platform.gateway.openai.answer import Head, collect
from quickthaw_platform.gateway.openai.calls import json_answer
from quickthaw_platform.gateway.openai.chat_format import chat_response
from quickthaw_platform.gateway.openai.schema import ChatCompletion, ChatRequest
from quickthaw_platform.gateway.path_names import COMPLETION_PATTERN, NamingPath
from quickthaw_platform.gateway.resource import resource
from quickthaw_platform.gateway.responses.schema import ItemList
from quickthaw_platform.gateway.services import services
from quickthaw_platform.gateway.stored import behind, forget, keep, log_so_far, page_of, stored
from quickthaw_platform.gateway.turns import give_way, in_turns
from quickthaw_platform.invocations.stored import Kind, StoredObject

api = resource(
    "openai-stored-chat",
    __name__,
    "Chat completions that were stored; a key sees its own",
    read=Scope.INVOKE,
    write=Scope.INVOKE,
    prefix="/v1/chat/completions",
)

_METADATA = re.compile(r"^metadata\[(.*)\]$")
_REPEATED = (
    "temperature", "top_p", "presence_penalty", "frequency_penalty", "seed", "tools", "tool_choice", "response_format",
)  # fmt: skip
"""What a stored completion repeats of its request."""


class CompletionPath(NamingPath):
    """The completion's id in the path."""

    completion_id: str = Field(pattern=COMPLETION_PATTERN, description="id of the chat completion")


class Page(BaseModel):
    """Which part of a list is wanted."""

    after: str | None = Field(None, description="id of what is before the first")
    limit: int = Field(20, ge=0, le=100)
    order: Literal["asc", "desc"] = Field("asc", description="desc: the latest first")


class CompletionsPage(Page):
    """Which completions are to be listed; `metadata[name]=value` takes those that have it."""

    model: str | None = Field(None, description="only of this model")


class MetadataChange(BaseModel):
    """Body of `POST /v1/chat/completions/{completion_id}`."""

    metadata: Metadata


class CompletionDeleted(BaseModel):
    """Answer of `DELETE /v1/chat/completions/{completion_id}`."""

    id: str
    object: Literal["chat.completion.deleted"]
    deleted: bool


def keep_completion(connection: Line, sent: ChatRequest, version: Version, identity: str) -> None:
    """Keep the chat completion that a client waits for."""
    give_way()
    body = sent.model_dump(mode="json", exclude_unset=True, exclude={"metadata"})
    keep(connection, version, Kind.COMPLETION, identity, sent.model, body=body, metadata=sent.metadata or {})


def list_chat_completions(query: CompletionsPage) -> Response:
    """List the stored chat completions of the API key that were answered."""
    # Its route is in chat.py: of two blueprints with one path only the later one would be documented.
    newest_first = query.order == "desc"
    found = services().stored.of_key(Kind.COMPLETION, principal().key_id, query.after, newest_first=newest_first)
    return json_answer(page_of(_answered(found, query.model, _wanted_metadata()), query.limit))


@api.get("/<completion_id>", responses={200: ChatCompletion})
def get_chat_completion(path: CompletionPath) -> Response:
    """Return a stored chat completion."""
    return json_answer(_body_of(stored(Kind.COMPLETION, path.completion_id)))


@api.post("/<completion_id>", responses={200: ChatCompletion})
def label_chat_completion(path: CompletionPath, body: MetadataChange) -> Response:
    """Put other metadata in the place of what a stored chat completion has."""
    found = stored(Kind.COMPLETION, path.completion_id)
    services().stored.label(found.id, body.metadata)
    return json_answer(_body_of(stored(Kind.COMPLETION, path.completion_id)))


@api.delete("/<completion_id>", responses={200: CompletionDeleted})
def delete_chat_completion(path: CompletionPath) -> Response:
    """Forget a chat completion and all that was answered; one that still runs is cancelled."""
    forget(stored(Kind.COMPLETION, path.completion_id))
    return json_answer({"id": path.completion_id, "object": "chat.completion.deleted", "deleted": True})


@api.get("/<completion_id>/messages", responses={200: ItemList})
def list_chat_completion_messages(path: CompletionPath, query: Page) -> Response:
    """List the messages that a stored chat completion was made from."""
    found = stored(Kind.COMPLETION, path.completion_id)
    messages = [_message(found.id, index, message) for index, message in enumerate(in_turns(found.body["messages"]))]
    if query.order == "desc":
        messages.reverse()
    return json_answer(page_of(behind(messages, query.after, [message["id"] for message in messages]), query.limit))


def _message(completion: str, index: int, message: Mapping[str, Any]) -> dict[str, Any]:
    content = message.get("content")
    parts = content if isinstance(content, list) else None
    return {**message, "id": f"{completion}-{index}", "content": None if parts else content, "content_parts": parts}


def _wanted_metadata() -> dict[str, str]:
    """Return what the query asks of metadata."""
    named = ((_METADATA.match(name), value) for name, value in request.args.items())
    return {match[1]: value for match, value in named if match is not None}


def _answered(
    found: Iterator[StoredObject], model: str | None, metadata: Mapping[str, str]
) -> Iterator[dict[str, Any]]:
    """Yield the completions of this model and with this metadata, but for those that run or failed."""
    for each in in_turns(found):
        if (model is None or each.model == model) and metadata.items() <= each.metadata.items():
            try:
                yield _body_of(each)
            except NotFound:
                continue


def _body_of(found: StoredObject) -> dict[str, Any]:
    """Return a completion; NotFound while it runs, and where it failed."""
    try:
        log = log_so_far(found.invocation)
    except InvocationNotFound as error:
        raise NotFound(f"the chat completion {found.id!r} has expired") from error
    if not log or not log[-1].ends or "error" in log[-1].data:
        raise NotFound(f"the chat completion {found.id!r} was not answered (yet)")
    answers, usage = collect(log, found.body.get("n") or 1)
    legacy = found.body.get("functions") is not None
    head = Head(found.id, int(found.created_at), found.model)
    repeated = {name: found.body.get(name) for name in _REPEATED}
    return {**chat_response(head, answers, usage, legacy), **repeated, "metadata": dict(found.metadata)}
