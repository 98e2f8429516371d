"""`true` is no number: no field of a request takes it for one."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from flask.testing import FlaskClient
from pydantic import BaseModel, TypeAdapter, ValidationError

from quickthaw.generation import Sampling
from quickthaw.resources import KeyRequest, Quotas
from quickthaw.types import Compression, FunctionSpec, Limits
from quickthaw_platform.gateway.messages.schema import MessagesRequest
from quickthaw_platform.gateway.openai.schema import ChatRequest, CompletionRequest, EmbeddingRequest
from quickthaw_platform.gateway.responses.schema import ResponseRequest

REQUESTS: tuple[type[BaseModel], ...] = (
    ChatRequest, Compression, CompletionRequest, EmbeddingRequest, FunctionSpec, KeyRequest, Limits, MessagesRequest,
    Quotas, ResponseRequest, Sampling,
)  # fmt: skip

FIELDS = [
    pytest.param(field.annotation, field.metadata, id=f"{request.__name__}.{name}")
    for request in REQUESTS
    for name, field in request.model_fields.items()
]


@pytest.mark.parametrize(("annotation", "metadata"), FIELDS)
def test_a_field_takes_true_for_itself_or_not_at_all(annotation: Any, metadata: list[Any]) -> None:
    field = TypeAdapter(Annotated[annotation, *metadata] if metadata else annotation)
    try:
        taken = field.validate_python(True)
    except ValidationError:
        return
    assert not isinstance(taken, int | float) or isinstance(taken, bool)


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/v1/chat/completions", {"model": "f", "messages": [], "max_tokens": True}, "max_tokens"),
        ("/v1/functions", {"name": "f", "model": "m", "max_instances": False}, "max_instances"),
        ("/v1/functions/f/invoke", {"input": {}, "sampling": {"n": True}}, "sampling.n"),
    ],
)
def test_it_is_told_by_the_fields_name(client: FlaskClient, path: str, body: dict[str, Any], field: str) -> None:
    answer = client.post(path, json=body)
    assert answer.status_code == 400
    assert f"{field}: must be a number, not {'false' if 'instances' in field else 'true'}" in answer.text
