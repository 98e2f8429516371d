"""A running stream of a function with network `egress` is put on another node: it reaches there what it lists, only."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from quickthaw import FunctionSpec, Invocation
from quickthaw.types import Isolation, Network
from tests.acceptance.cluster import Cluster, wait_for
from tests.acceptance.test_resume import chunks, handler
from tests.integration.worker.echo_checkpoint import MODEL
from tests.patience import PATIENCE_SECONDS

MOVED, RESUMED = "moved", "resumed"

BODY = """
import socket
import httpx

def reached():
    said = [httpx.get(url).status_code for url in ("{url}", "http://other.test/", "http://127.0.0.2:{port}/")]
    try: said.append(socket.create_connection(("127.0.0.1", {port})))
    except ConnectionRefusedError: said.append("none")  # nobody listens on its own loopback
    return " ".join(map(str, said))

yield reached()
for stage in ("moved", "resumed"):
    httpx.get("{url}/" + stage, timeout=None)
    yield reached()
"""
REACHED = "200 403 403 none"


class Holding(ThreadingHTTPServer):
    """Answers at once, but for the paths `/moved` and `/resumed`: these when they are let go."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answering)
        self.asked: Counter[str] = Counter()
        self.let_go = {f"/{stage}": threading.Event() for stage in (MOVED, RESUMED)}


class _Answering(BaseHTTPRequestHandler):
    server: Holding

    def do_GET(self) -> None:
        self.server.asked[self.path] += 1
        if event := self.server.let_go.get(self.path):
            event.wait(PATIENCE_SECONDS)
        with contextlib.suppress(ConnectionError):  # who asked has been moved or killed meanwhile
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


@pytest.fixture
def server() -> Iterator[Holding]:
    server = Holding()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        for event in server.let_go.values():
            event.set()
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def cluster(two_nodes: Cluster) -> Cluster:
    for node in two_nodes.client.nodes():
        if node.isolation != Isolation.STRICT.value:
            pytest.skip(f"no strict isolation here: {node.not_stronger}")
    return two_nodes


def wait_for_request(server: Holding, stage: str, times: int) -> None:
    wait_for(lambda: server.asked[f"/{stage}"] >= times, f"the request for /{stage}")


def node_of(call: Invocation) -> str:
    return str(call.status().node)


def test_a_stream_reaches_what_it_lists_and_nothing_else_after_a_move_and_after_its_worker_was_killed(
    cluster: Cluster, server: Holding
) -> None:
    port = server.server_address[1]
    body = BODY.replace("{url}", f"http://localhost.:{port}").replace("{port}", str(port))
    shape = {"model": MODEL, "engine": "echo", "memory": "64MiB", "network": Network.EGRESS}
    spec = {**shape, **handler(body), "egress": [f"localhost:{port}"]}
    cluster.client.deploy(FunctionSpec.model_validate({"name": "fetch", **spec}))
    call = cluster.client.spawn("fetch", {})
    wait_for_request(server, MOVED, 1)
    source = node_of(call)
    other = "b" if source == "a" else "a"

    cluster.client.migrate(call.id, other)
    wait_for(lambda: node_of(call) == other, "the move")
    wait_for_request(server, MOVED, 2)  # the handler runs again, on the other node
    server.let_go[f"/{MOVED}"].set()
    wait_for_request(server, RESUMED, 1)

    epoch = call.status().epoch
    cluster.kill(other)
    cluster.start(other)  # it may even take the call again
    wait_for(lambda: call.status().epoch > epoch, "the resumption")
    wait_for_request(server, RESUMED, 2)
    server.let_go[f"/{RESUMED}"].set()
    assert [chunk["value"] for chunk in chunks(call)] == [REACHED] * 3
    assert cluster.client.life(call.id).moves == 1
    assert {(i.network, i.egress) for i in cluster.client.instances()} == {(Network.EGRESS, (f"localhost:{port}",))}
    cluster.wait_for_return()
