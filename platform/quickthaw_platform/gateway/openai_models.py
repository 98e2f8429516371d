"""`GET /v1/models`: every function is a model. Listing wakes none."""

from __future__ import annotations

from flask import Response
from pydantic import BaseModel, Field

from quickthaw.resources import Scope
from quickthaw_platform.gateway.openai_mapping import split_model
from quickthaw_platform.gateway.openai_schema import ModelCard, ModelList
from quickthaw_platform.gateway.resource import answer, page, resource
from quickthaw_platform.gateway.services import services
from quickthaw_platform.registry.record import FunctionRecord

api = resource(
    "openai-models",
    __name__,
    "OpenAI-compatible list of functions",
    read=Scope.INVOKE,
    write=Scope.INVOKE,
    prefix="/v1/models",
)


class ModelPath(BaseModel):
    """The model id in the path."""

    id: str = Field(description="name of a function, or name:alias")


@api.get("", responses={200: ModelList})
def list_models() -> Response:
    """List the functions as models."""
    return page(_card(record, record.name) for record in services().registry.list())


@api.get("/<id>", responses={200: ModelCard})
def get_model(path: ModelPath) -> Response:
    """Describe a function as a model."""
    name, alias = split_model(path.id)
    record = services().registry.get(name)
    if alias is not None:
        record.weights(alias)
    return answer(_card(record, path.id))


def _card(record: FunctionRecord, model: str) -> ModelCard:
    return ModelCard(id=model, created=int(record.created_at))
