"""What validation has measured of checkpoints; `quickthaw validate` writes it."""

from __future__ import annotations

from http import HTTPStatus

from flask import Response

from quickthaw.resources import Scope
from quickthaw.results import CheckpointResult
from quickthaw_platform.gateway.checkpoints import CheckpointPath
from quickthaw_platform.gateway.resource import Page, answer, page, resource
from quickthaw_platform.gateway.services import services

api = resource(
    "results",
    __name__,
    "What validation has measured of checkpoints; `quickthaw validate` writes it",
    read=Scope.DEPLOY,
    write=Scope.DEPLOY,
    prefix="/v1/checkpoints",
)


@api.get("/<name>/results", responses={200: Page[CheckpointResult]})
def list_results(path: CheckpointPath) -> Response:
    """List the results of a checkpoint, by protocol and text."""
    return page(services().results.of(path.name))


@api.post("/<name>/results", responses={201: CheckpointResult})
def record_result(path: CheckpointPath, body: CheckpointResult) -> Response:
    """Keep a result of a checkpoint, in place of an earlier one of the same protocol, text, engine and options."""
    services().room.check()
    return answer(services().results.record(path.name, body), HTTPStatus.CREATED)
