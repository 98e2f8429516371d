"""The gateway's application, as its own tests have it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.security.gateway.stretches import Stretches
from tests.unit.gateway.conftest import Relay
from tests.unit.gateway.conftest import app as app
from tests.unit.gateway.conftest import client as client
from tests.unit.gateway.conftest import client_of as client_of
from tests.unit.gateway.conftest import node as node
from tests.unit.gateway.conftest import relay as relay
from tests.unit.gateway.conftest import settings as settings
from tests.unit.gateway.conftest import shared_app as shared_app
from tests.unit.gateway.node import FakeNode

HANDLER = {"file": "f.py", "object": "handle", "parameters": {"type": "object", "properties": {"p": {}}}}
SOURCE = {"f.py": "def handle(model, p):\n    return p\n"}
FUNCTIONS: list[dict[str, Any]] = [
    {"name": "vectors", "model": "tiny-embed", "engine": "echo"},
    {"name": "hand", "model": "tiny", "engine": "echo", "handler": HANDLER, "source": SOURCE},
]


@pytest.fixture
def stretches(relay: Relay, node: FakeNode, client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> Stretches:
    """What watches the gateway, and not the node that serves in its thread; with the functions `hand` and `vectors`."""
    found = Stretches()
    for name in ("handle", "came"):
        monkeypatch.setattr(node, name, _aside(found, getattr(node, name)))
    for function in FUNCTIONS:
        assert client.post("/v1/functions", json=function).status_code == 200
    return found


def _aside(stretches: Stretches, work: Callable[..., None]) -> Callable[..., None]:
    def done(*arguments: Any) -> None:
        with stretches.aside():
            work(*arguments)

    return done
