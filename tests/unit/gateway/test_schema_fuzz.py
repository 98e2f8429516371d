"""Requests made up from the OpenAPI document: nothing of ours breaks, and answers are as described."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from flask.testing import FlaskClient
from flask_openapi3.openapi import OpenAPI
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from hypothesis.strategies import booleans
from redis import Redis
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from quickthaw_platform.registry.sealing import KEY_FILE, KeyFile
from quickthaw_platform.registry.secrets import SecretStore
from tests.unit.gateway.conftest import ECHO

EXAMPLES = 6
ENDLESS = "/v1/models/events"
CHECKS = [
    schemathesis.checks.not_a_server_error,
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
]
KNOWN = {"name": "chat", "alias": "live", "key": "TOKEN"}
MODES = [schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE]


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_nothing_that_is_sent_breaks_the_gateway(
    app: OpenAPI, client: FlaskClient, mode: schemathesis.GenerationMode, redis: Redis, tmp_path: Path
) -> None:
    SecretStore(redis).announce(KeyFile(tmp_path / KEY_FILE))
    headers = {"Authorization": client.environ_base["HTTP_AUTHORIZATION"]}
    schema = schemathesis.openapi.from_wsgi("/openapi.json", app)
    for found in schema.get_all_operations():
        assert isinstance(found, Ok)
        operation = found.ok()
        if operation.path == ENDLESS:
            continue
        client.post("/v1/functions", json=ECHO)  # an operation before may have deleted it

        @settings(
            max_examples=EXAMPLES,
            derandomize=True,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode), known=booleans())
        def try_one(case: Any, known: bool) -> None:
            if known:
                case.path_parameters = {name: KNOWN.get(name, value) for name, value in case.path_parameters.items()}
                _call_what_is_there(case)
            case.query.pop("follow", None)  # a log that is followed has no end
            case.query.pop("nodes", None)  # fewer nodes than asked for are a 503, and rightly
            case.call_and_validate(headers=headers, checks=CHECKS)

        with suppress(Unsatisfiable):  # an operation that takes nothing can be sent nothing wrong
            try_one()


def _call_what_is_there(case: Any) -> None:
    if isinstance(case.body, dict) and "model" in case.body:
        case.body["model"] = "tiny" if case.path == "/v1/functions" else "chat"
