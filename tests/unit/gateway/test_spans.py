"""A request leaves one span that names its route, its status and its invocation."""

from __future__ import annotations

from redis import Redis

from quickthaw.resources import Scope
from quickthaw_platform.gateway.app import create_app
from quickthaw_platform.metering.tracing import Attributes, Tracer
from quickthaw_platform.registry.keys import KeyStore
from quickthaw_platform.settings import Settings
from tests.unit.gateway.conftest import ECHO
from tests.unit.gateway.node import FakeNode


def test_a_request_is_a_span(settings: Settings, redis: Redis, node: FakeNode) -> None:
    spans: list[tuple[str, float, Attributes]] = []
    tracer = Tracer(lambda name, start, end, attributes: spans.append((name, end - start, attributes)))
    app = create_app(settings, redis, node, tracer)  # type: ignore[arg-type]  # all of Celery that the gateway uses
    client = app.test_client()
    headers = {"Authorization": f"Bearer {KeyStore(redis).create('test', [Scope.ADMIN]).key}"}
    client.post("/v1/functions", json=ECHO, headers=headers)
    answer = client.post("/v1/functions/chat/invoke", json={"input": {"prompt": "hi"}}, headers=headers)
    name, seconds, attributes = spans[-1]
    assert name == "http.request"
    assert seconds >= 0
    assert attributes["http.route"] == "/v1/functions/<name>/invoke"
    assert attributes["http.response.status_code"] == 200
    assert attributes["quickthaw.invocation"] == answer.headers["x-invocation-id"]
