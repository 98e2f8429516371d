"""Embedding requests and their answers; no Redis, no HTTP."""

from __future__ import annotations

import base64
import struct
from typing import Any

import pytest
from openai.types import CreateEmbeddingResponse

from quickthaw.types import Usage
from quickthaw_platform.errors import HandlerFailed, InvalidRequest
from quickthaw_platform.gateway.openai.schema import EmbeddingRequest
from quickthaw_platform.gateway.openai.vectors import embedding_call, embedding_response


def embedding(**fields: Any) -> EmbeddingRequest:
    return EmbeddingRequest.model_validate({"model": "embed", "input": ["a", "b"], **fields})


def test_embeddings_as_floats() -> None:
    body = embedding_response(embedding(), [[1.0, 0.0], [0.0, 1.0]], Usage(prompt_tokens=2))
    parsed = CreateEmbeddingResponse.model_validate(body, strict=True)
    assert [entry.embedding for entry in parsed.data] == [[1.0, 0.0], [0.0, 1.0]]
    assert parsed.usage.total_tokens == 2


def test_embeddings_as_base64_are_little_endian_floats() -> None:
    body = embedding_response(embedding(input="a", encoding_format="base64"), [0.5, -1.0], Usage())
    assert struct.unpack("<2f", base64.b64decode(body["data"][0]["embedding"])) == (0.5, -1.0)


@pytest.mark.parametrize("result", [None, "x", [[1.0]], [[1.0], []], [[1.0], ["x"]], [[1.0], [True]]])
def test_a_handler_that_returns_no_vectors_has_failed(result: Any) -> None:
    with pytest.raises(HandlerFailed):
        embedding_response(embedding(), result, Usage())


@pytest.mark.parametrize(
    ("sent", "inputs"),
    [({"input": "a"}, ["a"]), ({"input": [1, 2]}, [[1, 2]]), ({"input": [[1], [2]]}, [[1], [2]])],
)
def test_inputs_may_be_token_ids(sent: dict[str, Any], inputs: list[Any]) -> None:
    assert embedding_call(embedding(**sent), None).input == {"input": inputs}


@pytest.mark.parametrize("sent", [{"input": []}, {"input": [[]]}, {"input": [[1], []]}])
def test_inputs_that_cannot_be_embedded(sent: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        embedding_call(embedding(**sent), None)


def test_fewer_dimensions_are_the_first_ones_at_unit_length() -> None:
    body = embedding_response(embedding(input="a", dimensions=2), [[0.6, 0.8, 0.0], [1.0, 0.0]][:1], Usage())
    assert body["data"][0]["embedding"] == [0.6, 0.8]
    body = embedding_response(embedding(input="a", dimensions=1), [[0.6, 0.8]], Usage())
    assert body["data"][0]["embedding"] == [1.0]


def test_more_dimensions_than_the_model_has_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="2 dimensions") as refused:
        embedding_response(embedding(dimensions=3), [[1.0, 0.0], [0.0, 1.0]], Usage())
    assert refused.value.param == "dimensions"
