"""What this server is and where things are, and the probes that other servers have; no API key needed."""

from __future__ import annotations

from typing import Literal

from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag

from quickthaw.types import Wire
from quickthaw.version import VERSION
from quickthaw_platform.gateway.health import Healthy
from quickthaw_platform.gateway.resource import ERRORS, answer

api = APIBlueprint(
    "pages",
    __name__,
    abp_tags=[Tag(name="pages", description="What this is; no API key needed")],
    abp_responses=ERRORS,
)


class Running(Wire):
    """The version that runs."""

    version: str = VERSION


class Front(Running):
    """What this is and where things are."""

    name: Literal["quickthaw"] = "quickthaw"
    about: str = "functions for language models; every call needs an API key"
    documentation: str = "/docs/"
    openapi: str = "/openapi.json"
    openai: str = "/v1"  # base URL of OpenAI's clients
    anthropic: str = "/"  # base URL of Anthropic's clients, which add /v1/messages themselves
    models: str = "/v1/models"
    functions: str = "/v1/functions"
    health: str = "/healthz"
    ready: str = "/readyz"
    metrics: str = "/metrics"


@api.get("/", responses={200: Front})
def front() -> Response:
    """Say what this is and where things are."""
    return answer(Front())


@api.get("/version", responses={200: Running})
def version() -> Response:
    """Return the version that runs."""
    return answer(Running())


@api.get("/health", responses={200: Healthy})
def health() -> Response:
    """Whether the gateway's process answers: `/healthz` by the name that other servers give it."""
    return answer(Healthy())


@api.get("/v1/health", responses={200: Healthy})
def health_of_version() -> Response:
    """Whether the gateway's process answers: `/healthz` by the name that llama.cpp's server gives it."""
    return answer(Healthy())


@api.get("/ping", responses={200: Healthy})
def ping() -> Response:
    """Whether the gateway's process answers: `/healthz` by the name that SageMaker and vLLM give it."""
    return answer(Healthy())


@api.post("/ping", responses={200: Healthy})
def ping_by_post() -> Response:
    """Whether the gateway's process answers, asked by POST."""
    return answer(Healthy())
