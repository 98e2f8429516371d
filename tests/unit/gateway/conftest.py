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

from quickthaw.resources import CheckpointInfo, Quotas, Scope
from quickthaw_platform.gateway.app import create_app
from quickthaw_platform.gateway.services import EXTENSION
from quickthaw_platform.registry.catalogue import Catalogue
from quickthaw_platform.registry.keys import KeyStore
from quickthaw_platform.setting_values.networks import read_networks
from quickthaw_platform.settings import Settings
from tests.state import announce_node
from tests.unit.gateway.node import FakeNode
from tests.valkey_process import ValkeyProcess

ECHO = {"name": "chat", "model": "tiny", "engine": "echo"}


def error_of(answer: TestResponse) -> dict[str, Any]:
    """Return the error object of an answer, which has every field and an id of the request."""
    assert answer.json is not None
    found: dict[str, Any] = answer.json["error"]
    assert {"message", "type", "param", "code"} <= set(found)
    assert answer.headers["x-request-id"]
    return found


@pytest.fixture(scope="module")
def settings(valkey: ValkeyProcess, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(
        redis_url=valkey.url,
        data_dir=tmp_path_factory.mktemp("gateway"),
        sse_keepalive=0.2,
        outage_patience=1.0,
        max_body=64 << 10,
        webhook_attempts=2,
        webhook_allow=read_networks("127.0.0.1"),
    )


class Relay:
    """Hands commands and calls on to the node of the test that runs; an application is slow to make and so shared."""

    node: FakeNode | None = None

    def send_task(self, name: str, **options: Any) -> None:
        assert self.node is not None
        self.node.send_task(name, **options)

    def app(self, settings: Settings, redis: Redis) -> OpenAPI:
        """Make an application whose node looks for calls after each change that may have given one a slot."""
        app = create_app(settings, redis, self)  # type: ignore[arg-type]  # all of Celery that the gateway uses
        store = app.extensions[EXTENSION].store
        for name in ("admit", "cancel"):
            setattr(store, name, self._and_look(getattr(store, name)))
        return app

    def _and_look(self, change: Callable[..., Any]) -> Callable[..., Any]:
        def changed(*args: Any, **options: Any) -> Any:
            answer = change(*args, **options)
            assert self.node is not None
            self.node.came()
            return answer

        return changed


@pytest.fixture(scope="module")
def relay() -> Relay:
    return Relay()


@pytest.fixture(scope="module")
def shared_app(valkey: ValkeyProcess, settings: Settings, relay: Relay) -> Iterator[OpenAPI]:
    with valkey.client() as redis:
        app = relay.app(settings, redis)
        yield app
        app.extensions[EXTENSION].close()


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
def app(shared_app: OpenAPI, relay: Relay, node: FakeNode) -> OpenAPI:
    relay.node = node
    return shared_app


@pytest.fixture
def client_of(app: OpenAPI, redis: Redis) -> Callable[..., FlaskClient]:
    """Make a client with a key of the given scope and quotas."""

    def make(scope: Scope = Scope.ADMIN, **quotas: Any) -> FlaskClient:
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
