"""Whether this gateway lives, and whether it can serve."""

from __future__ import annotations

from typing import Literal, cast

from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from pydantic import BaseModel, Field

from quickthaw.types import Wire
from quickthaw_platform.errors import Unavailable
from quickthaw_platform.gateway.resource import ERRORS, answer
from quickthaw_platform.gateway.services import services
from quickthaw_platform.invocations.outage import outage_is_unavailable
from quickthaw_platform.redis_keys import RedisKey

api = APIBlueprint(
    "health",
    __name__,
    abp_tags=[Tag(name="health", description="For load balancers and monitoring; no API key needed")],
    abp_responses=ERRORS,
)

PROBE_SECONDS = 60
"""How long what readiness wrote, to see whether that can be, is kept."""


class Healthy(Wire):
    """All is well."""

    status: Literal["ok"] = "ok"


class Ready(Wire):
    """The platform can be called."""

    status: Literal["ok"] = "ok"
    nodes: int


@api.get("/healthz", responses={200: Healthy})
def health() -> Response:
    """Whether the gateway's process answers."""
    return answer(Healthy())


class ReadyQuery(BaseModel):
    """What to ask of readiness."""

    nodes: int = Field(0, ge=0, description="be ready only with at least so many nodes")


@api.get("/readyz", responses={200: Ready})
def readiness(query: ReadyQuery) -> Response:
    """Whether the gateway's Redis takes changes, and there are as many nodes as asked for; 503 when not.

    Without nodes it is ready too: functions can be deployed, and calls wait for a node.
    """
    with outage_is_unavailable(), services().redis.pipeline(transaction=False) as pipe:
        pipe.set(RedisKey.READY, 1, ex=PROBE_SECONDS)  # a Redis that is full or read-only answers reads only
        pipe.scard(RedisKey.NODES)
        found = int(cast("int", pipe.execute()[1]))
    if found < query.nodes:
        raise Unavailable(f"{found} of {query.nodes} nodes are there; `quickthaw worker` starts one")
    return answer(Ready(nodes=found))
