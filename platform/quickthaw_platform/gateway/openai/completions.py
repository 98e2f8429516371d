"""`POST /v1/completions`."""

from __future__ import annotations

from flask import Response

from quickthaw.resources import Scope
from quickthaw.types import Version
from quickthaw_platform.gateway.calls import CallHeaders
from quickthaw_platform.gateway.openai.best import best
from quickthaw_platform.gateway.openai.calls import chunked, head, json_answer, place, resolve, whole
from quickthaw_platform.gateway.openai.mapping import LEGACY_MAX_TOKENS, chosen_from, completion_calls
from quickthaw_platform.gateway.openai.schema import Completion, CompletionRequest
from quickthaw_platform.gateway.openai.text_format import TextChunks, text_response
from quickthaw_platform.gateway.resource import resource

api = resource("openai-completions", __name__, "OpenAI-compatible completions", read=Scope.INVOKE, write=Scope.INVOKE)


@api.post("/v1/completions", responses={200: Completion})
def create_completion(header: CallHeaders, body: CompletionRequest) -> Response:
    """Continue a prompt, or each of several; with `stream: true` as server-sent events.

    `echo`, `logprobs` and `max_tokens: 0` together return the likelihood of a text, as evaluation harnesses use it.
    """
    version = resolve(body.model, "prompt")
    calls = completion_calls(body, version.spec.handler, _default_max_tokens(version))
    n, made = body.n or 1, chosen_from(body)
    include_usage = bool(body.stream_options and body.stream_options.include_usage)
    connection = place(version, calls, header.idempotency_key)
    top = head("cmpl", connection, body.model)
    if body.stream:
        chunks = [TextChunks(top, n, include_usage, first=index * n) for index in range(len(calls))]
        return chunked(connection, chunks, include_usage)
    answers, usages = whole(connection, made or n)
    if made is not None:
        answers = best(answers, made, n, keep_logprobs=body.logprobs is not None)
    return json_answer(text_response(top, answers, usages))


def _default_max_tokens(version: Version) -> int | None:
    """Return OpenAI's number for this endpoint; None where the function has its own, which its instances know."""
    limit = version.spec.max_tokens_limit
    if version.spec.max_tokens is not None:
        return None
    return LEGACY_MAX_TOKENS if limit is None else min(LEGACY_MAX_TOKENS, limit)
