"""What callers of a running gateway may take of it: connections to the store, time for bodies, room in the store."""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from quickthaw.resources import Scope
from quickthaw_platform.redis_client import GATEWAY_CONNECTIONS
from quickthaw_platform.registry.keys import KeyStore
from quickthaw_platform.settings import Settings
from tests.integration.gateway.processes import GatewayProcess, PlayedNode, headers, wait_for
from tests.patience import PATIENCE_SECONDS
from tests.valkey_process import ValkeyProcess

STREAMS = 400
MOST_CONNECTIONS = GATEWAY_CONNECTIONS + 8  # and those of readers, of Celery and of quotas
INPUT = {"input": {"prompt": "hi"}}


@pytest.fixture(scope="module")
def valkey_here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyProcess]:
    server = ValkeyProcess(tmp_path_factory.mktemp("valkey"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def node(valkey_here: ValkeyProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlayedNode]:
    played = PlayedNode(valkey_here, Settings(redis_url=valkey_here.url, data_dir=tmp_path_factory.mktemp("node")))
    played.open()
    yield played
    played.close()


@pytest.fixture(scope="module")
def gateway(valkey_here: ValkeyProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    server = GatewayProcess(valkey_here, tmp_path_factory.mktemp("gateway"), body_timeout="1s")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def key(node: PlayedNode) -> str:
    return KeyStore(node.redis).create("caller", [Scope.ADMIN]).key


def clients(node: PlayedNode) -> int:
    found: dict[str, Any] = node.redis.info("clients")
    return int(found["connected_clients"])


def follow(gateway: GatewayProcess, path: str, key: str) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", gateway.port), timeout=30)
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n\r\n".encode())
    return connection


def read_all_until(connections: list[socket.socket], wanted: bytes, seconds: float = 30.0) -> list[bytes]:
    """Read from each until it has said `wanted`."""
    said = dict.fromkeys(connections, b"")
    with selectors.DefaultSelector() as selector:
        for connection in connections:
            selector.register(connection, selectors.EVENT_READ)
        until = time.monotonic() + seconds
        while any(wanted not in text for text in said.values()):
            assert time.monotonic() < until, f"{sum(wanted in text for text in said.values())} said {wanted!r}"
            for ready, _ in selector.select(1.0):
                more = ready.fileobj.recv(1 << 16)  # type: ignore[union-attr]
                assert more, said[ready.fileobj][-500:]  # type: ignore[index]
                assert not more.startswith(b"HTTP/1.1 4"), more
                said[ready.fileobj] += more  # type: ignore[index]
    return list(said.values())


def test_streams_share_a_few_connections_to_the_store_and_each_hears_all(
    gateway: GatewayProcess, node: PlayedNode, key: str
) -> None:
    node.held = True
    before = clients(node)
    started = httpx.post(
        f"{gateway.url}/v1/functions/chat/async", json=INPUT, headers=headers(key), timeout=PATIENCE_SECONDS
    )
    path = f"/v1/invocations/{started.json()['id']}/events"
    with ExitStack() as stack:
        streams = [stack.enter_context(follow(gateway, path, key)) for _ in range(STREAMS)]
        read_all_until(streams, b"event: status")
        assert clients(node) < before + MOST_CONNECTIONS * len(gateway.workers())
        node.held = False
        for text in read_all_until(streams, b"event: result"):
            assert [text.count(b'"text":"%d "' % number) for number in range(node.tokens)] == [1] * node.tokens


def test_followers_of_log_lines_share_them_too(gateway: GatewayProcess, node: PlayedNode, key: str) -> None:
    before = clients(node)
    with ExitStack() as stack:
        path = "/v1/functions/chat/logs?follow=true"
        streams = [stack.enter_context(follow(gateway, path, key)) for _ in range(STREAMS)]
        read_all_until(streams, b": ok")
        node.redis.xadd("qt:logs:chat", {"t": "1.0", "line": "hello", "stream": "stdout"})
        read_all_until(streams, b"hello")
        assert clients(node) < before + MOST_CONNECTIONS * len(gateway.workers())


@pytest.mark.parametrize("head", ["Content-Length: 100", "Transfer-Encoding: chunked"])
def test_a_body_that_does_not_come_is_not_waited_for(gateway: GatewayProcess, key: str, head: str) -> None:
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=30) as connection:
        lines = ("POST /v1/functions/chat/invoke HTTP/1.1", "Host: localhost", f"Authorization: Bearer {key}", head)
        connection.sendall("\r\n".join((*lines, "", "")).encode())
        answer = b""
        while more := connection.recv(1 << 16):
            answer += more
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"body_timeout" in answer
    assert time.monotonic() - began < 20.0  # the gateway closed it, and not for silence, which is 65 s


def test_a_nearly_full_store_admits_nothing_new_and_ends_what_runs(
    gateway: GatewayProcess, node: PlayedNode, key: str
) -> None:
    url = f"{gateway.url}/v1/functions/chat/async"
    node.held = True
    running = httpx.post(url, json=INPUT, headers=headers(key), timeout=PATIENCE_SECONDS).json()["id"]
    used = int(node.redis.info("memory")["used_memory"])
    node.redis.config_set("maxmemory", int(used * 1.1))
    try:
        answers = []  # of both workers: each looks for itself

        def refuses() -> bool:
            answers.append(httpx.post(url, json=INPUT, headers=headers(key), timeout=PATIENCE_SECONDS))
            return answers[-1].is_error

        wait_for(refuses, "a refusal")
        refused = answers[-1]
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "store_full")
        assert int(refused.headers["Retry-After"]) > 0
        secret = f"{gateway.url}/v1/functions/chat/secrets/A"
        wait_for(
            lambda: (
                httpx.put(secret, json={"value": "b"}, headers=headers(key), timeout=PATIENCE_SECONDS).status_code
                == 503
            ),
            "another",
        )
        node.held = False
        wait_for(lambda: node.state(running) == "succeeded", "the end of what ran")
    finally:
        node.held = False
        node.redis.config_set("maxmemory", 0)
    wait_for(
        lambda: httpx.post(url, json=INPUT, headers=headers(key), timeout=PATIENCE_SECONDS).status_code == 202, "room"
    )
