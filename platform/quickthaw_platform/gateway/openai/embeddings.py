"""`POST /v1/embeddings`."""

from __future__ import annotations

from flask import Response

from quickthaw.resources import Scope
from quickthaw_platform.gateway.calls import CallHeaders
from quickthaw_platform.gateway.openai.calls import json_answer, place, resolve, result
from quickthaw_platform.gateway.openai.schema import EmbeddingList, EmbeddingRequest
from quickthaw_platform.gateway.openai.vectors import embedding_call, embedding_response
from quickthaw_platform.gateway.resource import resource

api = resource("openai-embeddings", __name__, "OpenAI-compatible embeddings", read=Scope.INVOKE, write=Scope.INVOKE)


@api.post("/v1/embeddings", responses={200: EmbeddingList})
def create_embedding(header: CallHeaders, body: EmbeddingRequest) -> Response:
    """Embed one text or several; `encoding_format` is float or base64."""
    version = resolve(body.model, "input")
    connection = place(version, [embedding_call(body, version.spec.handler)], header.idempotency_key)
    value, usage = result(connection)
    return json_answer(embedding_response(body, value, usage))
