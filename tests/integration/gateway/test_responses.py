"""Responses at real gateways: what is told of them is a function of the log, whichever gateway is asked."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from quickthaw_platform.registry.keys import KeyStore
from tests.integration.gateway.conftest import GATEWAY_SETTINGS
from tests.integration.gateway.processes import GatewayProcess, PlayedNode, headers, wait_for
from tests.patience import PATIENCE_SECONDS
from tests.unit.gateway.sse import Message, messages
from tests.valkey_process import ValkeyProcess

ASKED = {"model": "chat", "input": "hi"}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def other_gateway(gateway_valkey: ValkeyProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """A second gateway of the same platform."""
    server = GatewayProcess(gateway_valkey, tmp_path_factory.mktemp("other"), **GATEWAY_SETTINGS)
    server.start()
    yield server
    server.stop()


def post(gateway: GatewayProcess, key: str, path: str = "", **fields: Any) -> dict[str, Any]:
    """Send what must succeed."""
    answer = httpx.post(
        f"{gateway.url}/v1/responses{path}",
        headers=headers(key),
        json={**ASKED, **fields} if not path else {},
        timeout=PATIENCE_SECONDS,
    )
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def get(gateway: GatewayProcess, key: str, path: str) -> httpx.Response:
    return httpx.get(f"{gateway.url}/v1/responses/{path}", headers=headers(key), timeout=30)


def followed(gateway: GatewayProcess, key: str, path: str) -> list[Message]:
    """Return the events of a stream that ends."""
    return messages(get(gateway, key, path).content)


def text_of(response: dict[str, Any]) -> str:
    return "".join(part["text"] for item in response["output"] for part in item["content"])


def test_one_in_the_background_outlives_its_gateway_and_is_read_at_another(
    gateway: GatewayProcess, other_gateway: GatewayProcess, node: PlayedNode, key: str
) -> None:
    node.tokens, node.pause = 40, 0.05
    made = post(gateway, key, background=True)
    assert made["status"] == "queued"
    assert gateway.process is not None
    wait_for(lambda: "3 " in text_of(get(gateway, key, made["id"]).json()), "some output")
    workers = gateway.workers()
    gateway.signal(signal.SIGKILL)
    for worker in workers:
        worker.kill()
    gateway.ended()
    found = get(other_gateway, key, made["id"]).json()
    assert found["status"] == "in_progress"
    events = followed(other_gateway, key, f"{made['id']}?stream=true")
    assert [event.data["sequence_number"] for event in events] == list(range(len(events)))
    assert events[-1].data["response"] == get(other_gateway, key, made["id"]).json()
    assert text_of(events[-1].data["response"]) == "".join(f"{number} " for number in range(40))


def test_a_broken_stream_goes_on_at_another_gateway_without_a_gap(
    gateway: GatewayProcess, other_gateway: GatewayProcess, node: PlayedNode, key: str
) -> None:
    node.tokens, node.pause = 30, 0.02
    seen = b""
    body = {**ASKED, "stream": True, "background": True}
    with httpx.stream(
        "POST", f"{gateway.url}/v1/responses", headers=headers(key), json=body, timeout=PATIENCE_SECONDS
    ) as answer:
        for piece in answer.iter_bytes():
            seen += piece
            if b'"delta":"4 "' in seen:
                break
    before = messages(seen[: seen.rindex(b"\n\n") + 2])
    identity, last = before[0].data["response"]["id"], before[-1].data["sequence_number"]
    after = followed(other_gateway, key, f"{identity}?stream=true&starting_after={last}")
    assert [e.data["sequence_number"] for e in (*before, *after)] == list(range(len(before) + len(after)))
    assert followed(gateway, key, f"{identity}?stream=true") == [*before, *after]


def test_hanging_up_cancels_one_in_the_foreground_only(gateway: GatewayProcess, node: PlayedNode, key: str) -> None:
    node.held = True
    for background, state in ((False, "cancelled"), (True, "running")):
        with (
            httpx.Client(timeout=PATIENCE_SECONDS) as client,
            client.stream(
                "POST",
                f"{gateway.url}/v1/responses",
                headers=headers(key),
                json={**ASKED, "stream": True, "background": background},
            ) as answer,
        ):
            invocation = answer.headers["x-invocation-id"]
        wait_for(lambda name=invocation, wanted=state: node.state(name) == wanted, f"{state}")  # type: ignore[misc]
    assert get(gateway, key, f"resp_{invocation}").json()["status"] == "in_progress"
    assert post(gateway, key, f"/resp_{invocation}/cancel")["status"] == "cancelled"
    wait_for(lambda: not node.slots.leases("x1"), "the slot's freedom")


def test_another_key_is_told_that_there_is_nothing(gateway: GatewayProcess, node: PlayedNode, key: str) -> None:
    stranger = KeyStore(node.redis).create("stranger", ["invoke"]).key
    made = post(gateway, key)
    assert get(gateway, key, made["id"]).status_code == 200
    assert get(gateway, stranger, made["id"]).status_code == 404
    assert get(gateway, stranger, f"{made['id']}?stream=true").status_code == 404


def test_an_expired_response_is_gone_with_all_of_it(gateway: GatewayProcess, node: PlayedNode, key: str) -> None:
    made = post(gateway, key)
    invocation = made["id"].removeprefix("resp_")
    names = [f"qt:stored:{made['id']}", f"qt:inv:{invocation}", f"qt:inv.log:{invocation}"]
    assert all(node.redis.pttl(name) > 80_000_000 for name in names)  # stored_ttl is a day
    for name in names[1:]:
        node.redis.pexpire(name, 1)
    wait_for(lambda: get(gateway, key, made["id"]).status_code == 404, "its end")
