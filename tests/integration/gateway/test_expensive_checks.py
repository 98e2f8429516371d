"""Inputs and sources that take for ever to check are refused, and meanwhile the gateway answers everybody else."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.gateway.processes import GatewayProcess, PlayedNode, headers
from tests.patience import PATIENCE_SECONDS
from tests.valkey_process import ValkeyProcess

pytestmark = pytest.mark.slow

LONGEST_ANSWER_SHARE = 0.5
"""Of `/healthz` meanwhile, of the time that the check takes: two seconds at least, and more where the machine is busy.
Hindered it takes all of that, unhindered milliseconds."""


@pytest.fixture(scope="module")
def lone_gateway(gateway_valkey: ValkeyProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """A gateway of one worker, so that all requests meet in it."""
    folder: Path = tmp_path_factory.mktemp("lone")
    server = GatewayProcess(gateway_valkey, folder, gateway_workers="1", drain_timeout="5s")
    server.start()
    yield server
    server.stop()


def answers_meanwhile(gateway: GatewayProcess, work: Callable[[], httpx.Response]) -> tuple[httpx.Response, float]:
    """Return the answer to `work`, and the longest that `/healthz` took meanwhile, as a share of that time."""
    took: list[float] = []
    over = threading.Event()

    def ask() -> None:
        with httpx.Client(timeout=PATIENCE_SECONDS) as client:
            while not over.is_set():
                began = time.monotonic()
                assert client.get(f"{gateway.url}/healthz", timeout=30).status_code == 200
                took.append(time.monotonic() - began)

    asking = threading.Thread(target=ask)
    asking.start()
    began = time.monotonic()
    try:
        answer = work()
    finally:
        worked = time.monotonic() - began
        over.set()
        asking.join(60)
    return answer, max(took) / worked


def deploy(gateway: GatewayProcess, key: str, parameters: dict[str, Any], source: str = "") -> httpx.Response:
    body = {
        "name": "costly",
        "model": "tiny",
        "engine": "echo",
        "handler": {"file": "f.py", "object": "handle", "parameters": parameters},
        "source": {"f.py": f"def handle(model, p):\n    return p\n{source}"},
    }
    return httpx.post(f"{gateway.url}/v1/functions", headers=headers(key), json=body, timeout=60)


def doubling(levels: int) -> dict[str, Any]:
    definitions: dict[str, Any] = {
        f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}, {"$ref": f"#/$defs/d{n + 1}"}]} for n in range(levels)
    }
    return {"$defs": {**definitions, f"d{levels}": {}}, "properties": {"p": {"$ref": "#/$defs/d0"}}}


@pytest.mark.parametrize(
    ("parameters", "value"),
    [
        ({"properties": {"p": {"pattern": "^(a+)+$"}}}, "a" * 60 + "!"),
        (doubling(40), 1),
        ({"properties": {"p": {"uniqueItems": True}}}, [{"n": n} for n in range(8000)]),
    ],
    ids=["pattern", "references", "unique items"],
)
def test_an_input_that_takes_for_ever_to_check_is_refused_and_stalls_nobody(
    lone_gateway: GatewayProcess, node: PlayedNode, parameters: dict[str, Any], value: object
) -> None:
    key = node.key()
    assert deploy(lone_gateway, key, parameters).status_code == 200
    url = f"{lone_gateway.url}/v1/functions/costly/invoke"

    def work() -> httpx.Response:
        return httpx.post(url, headers=headers(key), json={"input": {"p": value}}, timeout=60)

    answer, longest = answers_meanwhile(lone_gateway, work)
    assert answer.status_code == 400, answer.text
    assert "two seconds of computing" in answer.json()["error"]["message"]
    assert longest < LONGEST_ANSWER_SHARE


@pytest.mark.parametrize(
    "source", ['x = f"' + '{"1"}' * 140_000 + '"', "x = " + "a(b(c(1)));" * 90_000], ids=["f-string", "calls"]
)
def test_a_source_that_takes_for_ever_to_compile_is_refused_and_stalls_nobody(
    lone_gateway: GatewayProcess, node: PlayedNode, source: str
) -> None:
    key = node.key()
    answer, longest = answers_meanwhile(lone_gateway, lambda: deploy(lone_gateway, key, {}, source))
    assert answer.status_code == 400, answer.text
    assert longest < LONGEST_ANSWER_SHARE


def test_a_check_in_the_process_says_what_one_at_once_says(lone_gateway: GatewayProcess, node: PlayedNode) -> None:
    key = node.key()
    assert deploy(lone_gateway, key, {"properties": {"p": {"type": "string", "pattern": "^a"}}}).status_code == 200
    url = f"{lone_gateway.url}/v1/functions/costly/invoke"
    error = httpx.post(url, headers=headers(key), json={"input": {"p": "b"}}, timeout=60).json()["error"]
    assert (error["param"], error["code"]) == ("input.p", "invalid_request")
    refused = deploy(lone_gateway, key, {}, "this is no Python")
    assert refused.status_code == 400
    assert "f.py, line 3" in refused.json()["error"]["message"]
