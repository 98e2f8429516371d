"""Structures at a real gateway: one that takes too long stalls nobody, and the process that tries them may die."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.integration.gateway.processes import GatewayProcess, PlayedNode, headers, wait_for
from tests.patience import PATIENCE_SECONDS
from tests.process_facts import command_of
from tests.unit.gateway.test_structure_check import long_chain
from tests.valkey_process import ValkeyProcess

CHAT: dict[str, Any] = {"model": "chat", "messages": [{"role": "user", "content": "hi"}]}

pytestmark = pytest.mark.slow


@pytest.fixture
def lone_gateway(node: PlayedNode, gateway_valkey: ValkeyProcess, tmp_path: Path) -> Iterator[GatewayProcess]:
    """A gateway of one worker, so that all requests meet in it."""
    server = GatewayProcess(gateway_valkey, tmp_path, gateway_workers="1", drain_timeout="5s")
    server.start()
    yield server
    server.stop()


def asked(gateway: GatewayProcess, key: str, schema: dict[str, Any]) -> httpx.Response:
    body = {**CHAT, "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}}
    return httpx.post(f"{gateway.url}/v1/chat/completions", headers=headers(key), json=body, timeout=60)


def helper_of(gateway: GatewayProcess) -> psutil.Process | None:
    """Return the process that tries structures; None: there is none."""
    (worker,) = gateway.workers()
    return next((child for child in worker.children() if "structure_check" in command_of(child)), None)


def test_a_schema_that_takes_too_long_stalls_no_stream(
    lone_gateway: GatewayProcess, node: PlayedNode, key: str
) -> None:
    node.tokens, node.pause = 100_000, 0.01
    arrivals: list[float] = []
    refused = threading.Event()

    def listen() -> None:
        body = {**CHAT, "stream": True}
        with httpx.stream(
            "POST", f"{lone_gateway.url}/v1/chat/completions", headers=headers(key), json=body, timeout=PATIENCE_SECONDS
        ) as answer:
            for line in answer.iter_lines():
                arrivals.append(time.monotonic() if line.startswith("data") else 0.0)
                if refused.is_set():
                    return

    listener = threading.Thread(target=listen)
    listener.start()
    try:
        wait_for(lambda: len(arrivals) > 5, "the stream's beginning")
        began = time.monotonic()
        answer = asked(lone_gateway, key, long_chain(14_000))
        ended = time.monotonic()
    finally:
        refused.set()
        listener.join(30)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["param"] == "response_format.json_schema.schema"
    assert "more than a second" in error["message"]
    assert sum(began < at < ended for at in arrivals) > 20


def test_the_process_that_tries_structures_is_replaced_and_ends_with_its_worker(
    lone_gateway: GatewayProcess, node: PlayedNode, key: str
) -> None:
    assert asked(lone_gateway, key, {"type": "null"}).status_code == 200
    first = helper_of(lone_gateway)
    assert first is not None
    first.kill()
    assert asked(lone_gateway, key, {"type": "boolean"}).status_code == 200
    second = helper_of(lone_gateway)
    assert second is not None
    assert second.pid != first.pid
    lone_gateway.workers()[0].kill()
    wait_for(lambda: not second.is_running(), "the end of the process that tries structures")
