"""The gateway's application on a real Valkey, with a node that serves in the caller's thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient
from flask_openapi3.openapi import OpenAPI
from redis import Redis
from werkzeug.test import TestResponse

from quickthaw.resources import CheckpointInfo, Scope
from quickthaw_platform.gateway.app import create_app
from quickthaw_platform.registry.catalogue import Catalogue
from quickthaw_platform.registry.keys import KeyStore
from quickthaw_platform.settings import Settings
from tests.state import announce_node
from tests.unit.gateway.node import FakeNode

ECHO = {"name": "chat", "model": "tiny", "engine": "echo"}


@pytest.fixture
def settings(platform_settings: Settings) -> Settings:
    return platform_settings.model_copy(update={"sse_keepalive": 0.2, "outage_patience": 1.0, "max_body": 64 << 10})


@pytest.fixture
def node(redis: Redis, settings: Settings) -> FakeNode:
    announce_node(redis, memory_bytes=64 << 30, checkpoints='["c1", "e1"]')
    Catalogue(redis).announce(
        [
            CheckpointInfo(id="c1", name="tiny", task="generate", bytes=1, context_tokens=128),
            CheckpointInfo(id="e1", name="tiny-embed", task="embed", bytes=1, context_tokens=128),
        ]
    )
    return FakeNode(redis, settings)


@pytest.fixture
def app(redis: Redis, settings: Settings, node: FakeNode) -> OpenAPI:
    return create_app(settings, redis, node)  # type: ignore[arg-type]  # all of Celery that the gateway uses


@pytest.fixture
def client_of(app: OpenAPI, redis: Redis) -> Callable[..., FlaskClient]:
    """Make a client with a key of the given scope and quotas."""

    def make(scope: Scope = Scope.ADMIN, **quotas: Any) -> FlaskClient:
        from quickthaw.resources import Quotas

        key = KeyStore(redis).create("test", [scope], Quotas(**quotas)).key
        client = app.test_client()
        client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {key}"
        return client

    return make


@pytest.fixture
def client(client_of: Callable[..., FlaskClient]) -> FlaskClient:
    """A client with an admin key, and the function `chat` deployed."""
    client = client_of()
    assert client.post("/v1/functions", json=ECHO).status_code == 200
    return client


@pytest.fixture
def later() -> Iterator[Callable[[Callable[[], TestResponse]], Callable[[], TestResponse]]]:
    """Start a request in a thread; the returned function waits for its answer."""
    threads: list[threading.Thread] = []

    def start(call: Callable[[], TestResponse]) -> Callable[[], TestResponse]:
        answers: list[TestResponse] = []
        thread = threading.Thread(target=lambda: answers.append(call()))
        threads.append(thread)
        thread.start()

        def wait() -> TestResponse:
            thread.join(20)
            return answers[0]

        return wait

    yield start
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
