"""`GET /v1/models`: every function is a model, with what it does at the moment. Listing wakes none."""

from __future__ import annotations

from typing import ClassVar

from flask import Response, jsonify, request
from pydantic import Field

from quickthaw.resources import Scope
from quickthaw_platform.errors import FunctionNotFound
from quickthaw_platform.gateway import sse
from quickthaw_platform.gateway.model_cards import ModelCard, ModelList
from quickthaw_platform.gateway.model_events import stream
from quickthaw_platform.gateway.openai.mapping import split_model
from quickthaw_platform.gateway.path_names import MODEL_PATTERN, NamingPath
from quickthaw_platform.gateway.resource import event_stream, resource
from quickthaw_platform.gateway.services import services

api = resource(
    "openai-models",
    __name__,
    "OpenAI-compatible list of functions",
    read=Scope.INVOKE,
    write=Scope.INVOKE,
    prefix="/v1/models",
)


class ModelPath(NamingPath):
    """The model id in the path."""

    refusals: ClassVar = {"id": FunctionNotFound}
    id: str = Field(pattern=MODEL_PATTERN, description="name of a function, or name:alias")


@api.get("", responses={200: ModelList})
def list_models() -> Response:
    """List the functions as models, each with its status."""
    return jsonify({"object": "list", "data": [_shown(card) for card in services().models.cards()]})


@api.get("/events", responses={200: event_stream("the status of every model, then each change of one")})
def follow_models() -> Response:
    """Follow what becomes of the models: one event for each at first, then one for each change, without end."""
    found = services()
    return Response(stream(found.models, request.environ, found.settings.sse_keepalive), headers=sse.HEADERS)


@api.get("/<id>", responses={200: ModelCard})
def get_model(path: ModelPath) -> Response:
    """Describe a function as a model."""
    return jsonify(_shown(services().models.card(*split_model(path.id))))


def _shown(card: ModelCard) -> dict[str, object]:
    return card.model_dump(mode="json", exclude_none=True)
