"""OpenAI's embeddings: the request into a call, and what the handler returned into the answer. Pure."""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Sequence
from typing import Any

from quickthaw.types import Handler, Usage
from quickthaw_platform.errors import HandlerFailed, InvalidRequest
from quickthaw_platform.gateway.openai.mapping import Call, parameters
from quickthaw_platform.gateway.openai.schema import EmbeddingRequest
from quickthaw_platform.gateway.request_fields import Endpoint, check_fields
from quickthaw_platform.gateway.turns import in_turns


def embedding_call(request: EmbeddingRequest, handler: Handler | None) -> Call:
    """Map an embedding request."""
    takes = parameters(handler)
    check_fields(Endpoint.EMBEDDINGS, request.model_extra or {}, takes)
    inputs = inputs_of(request)
    if not inputs:
        raise InvalidRequest("input is empty", param="input")
    if [] in inputs:
        raise InvalidRequest("an input of token ids is empty", param="input")
    sent = request.model_dump(exclude_unset=True, exclude_none=True, exclude={"input"})
    return Call({**{name: sent[name] for name in takes if name in sent}, "input": inputs}, {})


def inputs_of(request: EmbeddingRequest) -> list[Any]:
    """Return what is to be embedded: texts, or lists of token ids."""
    sent = request.input
    if isinstance(sent, str):
        return [sent]
    return [sent] if sent and isinstance(sent[0], int) else list(sent)


def embedding_response(request: EmbeddingRequest, result: Any, usage: Usage) -> dict[str, Any]:
    """Build the answer from what the handler returned: a vector for each input, or one vector for one input."""
    vectors = _vectors(result, len(inputs_of(request)))
    if request.dimensions is not None:
        vectors = [shortened(vector, request.dimensions) for vector in in_turns(vectors)]
    encode = _base64 if request.encoding_format == "base64" else list
    return {
        "object": "list",
        "model": request.model,
        "data": [
            {"object": "embedding", "index": i, "embedding": encode(vector)}
            for i, vector in enumerate(in_turns(vectors))
        ],
        "usage": {"prompt_tokens": usage.prompt_tokens, "total_tokens": usage.prompt_tokens},
    }


def shortened(vector: Sequence[float], dimensions: int) -> list[float]:
    """Return the first numbers of a vector, scaled to unit length, as OpenAI shortens its embeddings.

    Raises InvalidRequest where the vector has fewer. It keeps its sense where the model was trained for it
    (Matryoshka representation learning, Kusupati et al. 2022).
    """
    if dimensions > len(vector):
        raise InvalidRequest(f"this model's vectors have {len(vector)} dimensions", param="dimensions")
    if dimensions == len(vector):
        return list(vector)
    length = math.hypot(*vector[:dimensions]) or 1.0
    return [value / length for value in vector[:dimensions]]


def _vectors(result: Any, count: int) -> list[list[float]]:
    vectors = [result] if count == 1 and isinstance(result, list) and result and _is_number(result[0]) else result
    if (
        not isinstance(vectors, list)
        or len(vectors) != count
        or not all(isinstance(vector, list) and vector and all(map(_is_number, vector)) for vector in in_turns(vectors))
    ):
        raise HandlerFailed(f"the handler must return {count} vectors of numbers for {count} inputs")
    return vectors


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _base64(vector: Sequence[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
