"""Requests made up from the OpenAPI document: whatever is sent, nothing of ours breaks."""

from __future__ import annotations

import pytest
import schemathesis
from flask_openapi3.openapi import OpenAPI
from hypothesis import HealthCheck, Phase, settings
from redis import Redis
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

from quickthaw.resources import Scope
from quickthaw_platform.registry.keys import KeyStore
from tests.unit.gateway.conftest import ECHO, Relay
from tests.unit.gateway.node import FakeNode

EXAMPLES = 12


@pytest.fixture
def api(shared_app: OpenAPI, relay: Relay, redis: Redis, node: FakeNode) -> schemathesis.BaseSchema:
    relay.node = node
    key = KeyStore(redis).create("fuzz", [Scope.ADMIN]).key
    headers = {"Authorization": f"Bearer {key}"}
    client = shared_app.test_client()
    assert client.post("/v1/functions", json=ECHO, headers=headers).status_code == 200
    schema = schemathesis.openapi.from_wsgi("/openapi.json", shared_app)
    schema.config.generation.modes = [schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE]
    schema.config.headers = headers
    return schema
