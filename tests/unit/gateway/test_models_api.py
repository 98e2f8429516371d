"""`/v1/models` over HTTP: statuses from the cluster's real state, and the stream of their changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient
from redis import Redis

from quickthaw_platform.gateway.model_watch import ModelWatch
from quickthaw_platform.invocations.slots import SlotStore
from quickthaw_platform.registry.catalogue import Catalogue
from quickthaw_platform.registry.functions import FunctionRegistry
from tests.unit.gateway.node import FakeNode
from tests.unit.gateway.sse import messages

CHAT: dict[str, Any] = {"model": "chat", "messages": [{"role": "user", "content": "hi"}]}


def status(client: FlaskClient, model: str = "chat") -> dict[str, Any]:
    body = client.get(f"/v1/models/{model}").json
    assert body is not None
    found: dict[str, Any] = body["status"]
    return found


def test_a_function_that_nobody_called_is_unloaded_and_listing_wakes_none(client: FlaskClient, node: FakeNode) -> None:
    listed = client.get("/v1/models").json
    assert listed is not None
    (entry,) = listed["data"]
    assert (entry["id"], entry["status"], entry["max_model_len"]) == ("chat", {"value": "unloaded"}, 128)
    assert node.sent == []


def test_a_call_loads_it(client: FlaskClient) -> None:
    client.post("/v1/chat/completions", json=CHAT)
    assert status(client) == {"value": "loaded"}
    assert status(client, "chat:live") == {"value": "loaded"}


def test_while_it_starts_it_is_loading_with_the_routers_estimate(client: FlaskClient, node: FakeNode) -> None:
    node.holding = True
    client.post("/v1/functions/chat/async", json={"input": {"prompt": "a"}})
    found = status(client)
    assert found["value"] == "loading"
    assert found["estimate_seconds"] >= 0


def test_an_option_that_bounds_the_context_is_shown(client: FlaskClient) -> None:
    spec = {"name": "short", "model": "tiny", "engine": "echo", "options": {"context_tokens": 64}}
    assert client.post("/v1/functions", json=spec).status_code == 200
    body = client.get("/v1/models/short").json
    assert body is not None
    assert body["max_model_len"] == 64


def test_a_start_that_failed_is_told_until_one_succeeds(client: FlaskClient, node: FakeNode) -> None:
    version = client.get("/v1/functions/chat/versions").json
    assert version is not None
    node.slots.note_failure(version["data"][0]["id"], "weights-0.safetensors is missing")
    assert status(client) == {"value": "failed", "failed": True, "reason": "weights-0.safetensors is missing"}
    client.post("/v1/chat/completions", json=CHAT)
    assert status(client) == {"value": "loaded"}
    for instance in node.slots.instances():
        node.slots.remove(instance.id)
    assert status(client) == {"value": "unloaded"}


@pytest.fixture
def events(client: FlaskClient) -> Iterator[Callable[[], dict[str, Any]]]:
    """Begin to follow; the returned function gives the next event."""
    answer = client.get("/v1/models/events", buffered=False)
    said = (message.data for piece in answer.iter_encoded() for message in messages(piece))
    yield lambda: next(said)
    answer.close()


def test_the_stream_tells_of_every_model_and_then_of_changes(
    client: FlaskClient, events: Callable[[], dict[str, Any]]
) -> None:
    assert events() == {"model": "chat", "event": "model_status", "data": {"status": "unloaded"}}
    client.post("/v1/chat/completions", json=CHAT)
    assert events() == {"model": "chat", "event": "status_change", "data": {"status": "loaded"}}


def test_one_reads_for_all_who_watch(client: FlaskClient, redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    slots = SlotStore(redis)
    watch = ModelWatch(redis, FunctionRegistry(redis), Catalogue(redis), slots)
    first = watch.recent(60)
    monkeypatch.setattr(slots, "failures", None)  # who reads again fails
    assert watch.recent(60) is first
    with pytest.raises(TypeError):
        watch.recent(0)
