"""`POST /v1/chat/completions`."""

from __future__ import annotations

from flask import Response

from quickthaw.resources import Scope
from quickthaw_platform.gateway.calls import CallHeaders
from quickthaw_platform.gateway.openai.calls import chunked, head, json_answer, place, resolve, whole
from quickthaw_platform.gateway.openai.chat_format import ChatChunks, chat_response
from quickthaw_platform.gateway.openai.mapping import chat_call
from quickthaw_platform.gateway.openai.schema import ChatCompletion, ChatRequest
from quickthaw_platform.gateway.openai.stored_completions import keep_completion, list_chat_completions
from quickthaw_platform.gateway.openai.tools import is_legacy
from quickthaw_platform.gateway.resource import resource
from quickthaw_platform.gateway.responses.schema import ItemList
from quickthaw_platform.gateway.services import services

api = resource("openai-chat", __name__, "OpenAI-compatible chat", read=Scope.INVOKE, write=Scope.INVOKE)
api.get("/v1/chat/completions", responses={200: ItemList})(list_chat_completions)


@api.post("/v1/chat/completions", responses={200: ChatCompletion})
def create_chat_completion(header: CallHeaders, body: ChatRequest) -> Response:
    """Answer a conversation; with `stream: true` as server-sent events. What nothing is done with is refused."""
    version = resolve(body.model, "messages")
    call = chat_call(body, version.spec.handler, version.spec.tools or ())
    n = body.n or 1
    include_usage = bool(body.stream_options and body.stream_options.include_usage)
    kept_seconds = services().settings.stored_ttl if body.store else None
    connection = place(version, [call], header.idempotency_key, keep_seconds=kept_seconds)
    top = head("chatcmpl", connection, body.model)
    if body.store:
        keep_completion(connection, body, version, top.id)
    if body.stream:
        return chunked(connection, [ChatChunks(top, n, include_usage, is_legacy(body))], include_usage)
    answers, usages = whole(connection, n)
    return json_answer(chat_response(top, answers, usages[0], is_legacy(body)))
