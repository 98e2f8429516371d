"""What only the real server shows: hanging up, huge bodies, several workers, outages, signals."""

from __future__ import annotations

import json
import re
import signal
import socket
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from threading import Semaphore

import httpx
import psutil
import pytest

from quickthaw.sse import SSEParser
from tests.integration.gateway.processes import GatewayProcess, PlayedNode, headers, wait_for
from tests.patience import PATIENCE_SECONDS
from tests.valkey_process import ValkeyProcess

INPUT = {"input": {"prompt": "hi"}}
CHAT = {"model": "chat", "messages": [{"role": "user", "content": "hi"}], "stream": True}
MESSAGE = {**CHAT, "max_tokens": 50}
SILENT_SECONDS = 20.0
"""Many times what the gateway is set to be silent at most (sse_keepalive, 1 s)."""

pytestmark = pytest.mark.slow


def raw_post(gateway: GatewayProcess, path: str, key: str, body: object, more: str = "") -> socket.socket:
    """Send a request over a plain socket, to be hung up at will; `more` are headers, each with its line's end."""
    content = json.dumps(body).encode()
    connection = socket.create_connection(("127.0.0.1", gateway.port))
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n{more}"
    connection.sendall(
        f"{head}Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n".encode() + content
    )
    return connection


def reset(connection: socket.socket) -> None:
    """Hang up with a reset, as a killed client's kernel does."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def the_invocation(node: PlayedNode) -> str:
    """Return the id of the only invocation."""
    (found,) = wait_for(lambda: list(node.redis.scan_iter("qt:inv:*")), "a call")
    return str(found).removeprefix("qt:inv:")


@pytest.mark.parametrize("hang_up", [socket.socket.close, reset])
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/functions/cold/invoke", INPUT),  # while cold: no instance ever comes
        ("/v1/functions/chat/invoke", INPUT),  # while it runs and says nothing
        ("/v1/functions/cold/stream", INPUT),
        ("/v1/chat/completions", {**CHAT, "model": "cold"}),
        ("/v1/chat/completions", CHAT),
        ("/v1/messages", {**MESSAGE, "model": "cold"}),
        ("/v1/messages", MESSAGE),
        ("/v1/messages", {**MESSAGE, "stream": False}),
    ],
)
def test_a_client_that_hangs_up_cancels(
    gateway: GatewayProcess, node: PlayedNode, key: str, hang_up: object, path: str, body: object
) -> None:
    node.held = True
    connection = raw_post(gateway, path, key, body)
    invocation = the_invocation(node)
    assert node.state(invocation) in ("queued", "assigned", "running")
    hang_up(connection)  # type: ignore[operator]
    wait_for(lambda: node.state(invocation) == "cancelled", "the cancellation")
    wait_for(lambda: not node.slots.leases("x1"), "the slot's freedom")


def test_a_client_that_hangs_up_in_mid_stream_cancels(gateway: GatewayProcess, node: PlayedNode, key: str) -> None:
    node.tokens, node.pause = 10_000, 0.01
    connection = raw_post(gateway, "/v1/chat/completions", key, CHAT)
    received = b""
    while b'"content":"3 "' not in received:
        received += connection.recv(65536)
    connection.close()
    invocation = the_invocation(node)
    wait_for(lambda: node.state(invocation) == "cancelled", "the cancellation")


def test_a_call_with_an_idempotency_key_goes_on_though_its_client_hangs_up(
    gateway: GatewayProcess, node: PlayedNode, key: str
) -> None:
    """Whoever sent the key may send it again: a connection that broke looks like a client that hung up."""
    node.tokens, node.permits = 5, Semaphore(2)
    connection = raw_post(gateway, "/v1/functions/chat/stream", key, INPUT, "Idempotency-Key: once\r\n")
    received = b""
    while b'"1 "' not in received:
        received += connection.recv(65536)
    position = max(map(int, re.findall(rb"\nid: (\d+)\n", received)))
    connection.close()
    wait_for(lambda: not half_closed(gateway), "the gateway to notice")
    node.permits.release(node.tokens)
    again = {**headers(key), "Idempotency-Key": "once", "Last-Event-ID": str(position)}
    answer = httpx.post(f"{gateway.url}/v1/functions/chat/stream", headers=again, json=INPUT, timeout=PATIENCE_SECONDS)
    assert re.findall(r'"text":"(\d) "', answer.text) == ["2", "3", "4"]
    assert "event: result" in answer.text
    assert node.state(the_invocation(node)) == "succeeded"


def half_closed(gateway: GatewayProcess) -> bool:
    """Whether a client has closed a connection that the gateway still has open."""
    found = (each for worker in gateway.workers() for each in worker.net_connections())
    return any(each.status == psutil.CONN_CLOSE_WAIT for each in found)


def test_tokens_leave_when_they_come(gateway: GatewayProcess, node: PlayedNode, key: str) -> None:
    """The next one is said when the one before has arrived: who kept one back would wait for ever."""
    node.tokens, node.permits = 5, Semaphore(1)
    arrivals = 0
    with httpx.stream(
        "POST", f"{gateway.url}/v1/chat/completions", headers=headers(key), json=CHAT, timeout=PATIENCE_SECONDS
    ) as answer:
        for line in answer.iter_lines():
            if '"content":"' in line and '"content":""' not in line:
                arrivals += 1
                node.permits.release()
    assert arrivals == 5


def test_a_waiting_stream_is_never_silent_for_long(gateway: GatewayProcess, node: PlayedNode, key: str) -> None:
    node.held = True
    chunks = 0
    with httpx.stream(
        "POST", f"{gateway.url}/v1/chat/completions", headers=headers(key), json=CHAT, timeout=SILENT_SECONDS
    ) as answer:
        for line in answer.iter_lines():
            chunks += line.startswith("data: {")
            if chunks == 3:
                node.held = False
    assert chunks > 3


def test_a_waiting_message_is_filled_with_pings(gateway: GatewayProcess, node: PlayedNode, key: str) -> None:
    node.held = True
    events = []
    with httpx.stream(
        "POST", f"{gateway.url}/v1/messages", headers={"x-api-key": key}, json=MESSAGE, timeout=SILENT_SECONDS
    ) as answer:
        for line in answer.iter_lines():
            events += [line.removeprefix("event: ")] if line.startswith("event: ") else []
            if events.count("ping") == 3:
                node.held = False
    assert events[:2] == ["message_start", "ping"]
    assert events[-2:] == ["message_delta", "message_stop"]


def test_all_who_follow_the_models_hear_of_each_and_of_changes(
    gateway: GatewayProcess, node: PlayedNode, key: str
) -> None:
    def told(lines: Iterator[str], count: int) -> list[tuple[str, str, str]]:
        bodies = (json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: "))
        return [(body["event"], body["model"], body["data"]["status"]) for body in islice(bodies, count)]

    with ExitStack() as stack:
        request = ("GET", f"{gateway.url}/v1/models/events")
        answers = [
            stack.enter_context(httpx.stream(*request, headers={"x-api-key": key}, timeout=20)) for _ in range(3)
        ]
        followers = [answer.iter_lines() for answer in answers]
        for lines in followers:
            assert told(lines, 2) == [("model_status", "chat", "loaded"), ("model_status", "cold", "unloaded")]
        node.slots.remove("x1")
        for lines in followers:
            assert told(lines, 1) == [("status_change", "chat", "unloaded")]


def endless(size: int) -> Iterator[bytes]:
    for _ in range(size >> 20):
        yield b" " * (1 << 20)


@pytest.mark.parametrize(
    "rest",
    [
        b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n{}",  # no size of a chunk
        b"Transfer-Encoding: chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}xx0\r\n\r\n",  # no end of a chunk
        b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nno trailer\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n20\r\n{}",  # it ends within a chunk
        b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n",  # and before the last one
        b'Content-Length: 200\r\n\r\n{"input": {"prompt": "hi"}}',  # valid JSON, but not all that was announced
    ],
)
def test_a_body_that_does_not_come_whole_is_the_clients_fault(
    gateway: GatewayProcess, node: PlayedNode, key: str, rest: bytes
) -> None:
    connection = socket.create_connection(("127.0.0.1", gateway.port), timeout=PATIENCE_SECONDS)
    path = "/v1/functions/chat/async"
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\nConnection: close\r\n"
    connection.sendall(head.encode() + rest)
    connection.shutdown(socket.SHUT_WR)
    answer = connection.makefile("rb").read()
    connection.close()
    assert answer.startswith(b"HTTP/1.1 400 "), answer
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == "invalid_request"
    assert not list(node.redis.scan_iter("qt:inv:*"))


@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"get /v1/models HTTP/1.1\r\n\r\n", 400),
        ("GET /v1/models/é HTTP/1.1\r\n\r\n".encode(), 400),
        (b"GET / HTTP/1.1\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nExpect: a miracle\r\n\r\n", 417),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 20_000 + b"\r\n\r\n", 431),
    ],
)
def test_what_is_not_http_is_refused_in_the_form_of_all_errors(
    gateway: GatewayProcess, request_head: bytes, status: int
) -> None:
    connection = socket.create_connection(("127.0.0.1", gateway.port), timeout=PATIENCE_SECONDS)
    connection.sendall(request_head)
    head, _, body = connection.recv(65536).partition(b"\r\n\r\n")
    connection.close()
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    assert json.loads(body)["error"]["code"] == "bad_request"


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_of_100_mb_is_refused_with_an_answer(gateway: GatewayProcess, key: str, chunked: bool) -> None:
    size = 100 << 20
    more = {} if chunked else {"Content-Length": str(size)}
    answer = httpx.post(
        f"{gateway.url}/v1/functions/chat/invoke", headers=headers(key, **more), content=endless(size), timeout=60
    )
    assert answer.status_code == 413
    assert answer.json()["error"]["code"] == "request_too_large"
    assert all(worker.memory_info().rss < 400 << 20 for worker in gateway.workers())


def test_a_large_body_without_a_key_is_refused_too(gateway: GatewayProcess) -> None:
    answer = httpx.post(f"{gateway.url}/v1/functions/chat/invoke", content=endless(10 << 20), timeout=60)
    assert answer.status_code == 401


def counted(gateway: GatewayProcess) -> float:
    """Return how often models were listed, by all workers; read several times, as any worker may answer."""
    found = set()
    for _ in range(5):
        for line in httpx.get(f"{gateway.url}/metrics", timeout=PATIENCE_SECONDS).text.splitlines():
            if line.startswith("quickthaw_http_requests_total") and "list_models" in line:
                found.add(float(line.rpartition(" ")[2]))
    assert len(found) <= 1
    return found.pop() if found else 0.0


def test_metrics_add_up_over_the_workers(gateway: GatewayProcess, key: str) -> None:
    assert len(gateway.workers()) == 2
    before = counted(gateway)

    def ask(_: int) -> int:
        return httpx.get(f"{gateway.url}/v1/models", headers=headers(key), timeout=PATIENCE_SECONDS).status_code

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(ask, range(30))) == {200}
    assert counted(gateway) - before == 30


def test_a_stream_outlives_an_outage_of_redis(
    gateway: GatewayProcess, node: PlayedNode, key: str, gateway_valkey: ValkeyProcess
) -> None:
    node.tokens, node.pause = 40, 0.05
    parser = SSEParser()
    texts: list[str] = []
    ended = ""
    with httpx.stream(
        "POST", f"{gateway.url}/v1/functions/chat/stream", headers=headers(key), json=INPUT, timeout=20
    ) as answer:
        for piece in answer.iter_raw():
            for event in parser.feed(piece):
                ended = event.event
                if event.event == "chunk":
                    texts.append(json.loads(event.data)["delta"]["text"])
            if len(texts) == 10:
                gateway_valkey.kill()
                assert httpx.get(f"{gateway.url}/readyz", timeout=PATIENCE_SECONDS).status_code == 503
                assert httpx.get(f"{gateway.url}/healthz", timeout=PATIENCE_SECONDS).status_code == 200
                gateway_valkey.start()
                texts.append("outage")
    assert ended == "result"
    assert [text for text in texts if text != "outage"] == [f"{n} " for n in range(40)]


def test_sigterm_lets_streams_end(gateway: GatewayProcess, node: PlayedNode, key: str) -> None:
    node.tokens, node.pause = 20, 0.05
    lines: list[str] = []
    with httpx.stream(
        "POST", f"{gateway.url}/v1/chat/completions", headers=headers(key), json=CHAT, timeout=PATIENCE_SECONDS
    ) as answer:
        for line in answer.iter_lines():
            lines.append(line)
            if sum('"content":"' in seen for seen in lines) == 3:
                gateway.signal(signal.SIGTERM)
    assert [line for line in lines if line][-1] == "data: [DONE]"
    gateway.ended()


def test_a_stream_that_the_shutdown_cuts_off_does_not_cancel_its_call(
    gateway: GatewayProcess, node: PlayedNode, key: str
) -> None:
    node.tokens, node.pause = 100_000, 0.05
    invocation = ""

    def read() -> None:
        nonlocal invocation
        with httpx.stream(
            "POST", f"{gateway.url}/v1/functions/chat/stream", headers=headers(key), json=INPUT, timeout=20
        ) as answer:
            invocation = answer.headers["x-invocation-id"]
            for _ in answer.iter_raw():
                gateway.signal(signal.SIGTERM)

    with pytest.raises(httpx.RemoteProtocolError):
        read()
    gateway.ended()
    assert node.state(invocation) == "running"


@pytest.fixture
def patient_gateway(gateway_valkey: ValkeyProcess, node: PlayedNode, tmp_path: Path) -> Iterator[GatewayProcess]:
    """A gateway in front of `node` that would wait for a request under way for longer than a test lasts."""
    folder = tmp_path / "patient"
    folder.mkdir()
    server = GatewayProcess(gateway_valkey, folder, gateway_workers="1", drain_timeout="600s")
    server.start()
    yield server
    server.stop()


def test_connections_that_clients_keep_open_do_not_delay_the_shutdown(patient_gateway: GatewayProcess) -> None:
    with httpx.Client(timeout=PATIENCE_SECONDS) as keeping:
        assert keeping.get(f"{patient_gateway.url}/healthz").is_success
        patient_gateway.signal(signal.SIGTERM)
        patient_gateway.ended(seconds=30)


def test_a_connection_kept_open_after_a_stream_that_the_shutdown_waited_for_does_not_delay_it(
    patient_gateway: GatewayProcess, node: PlayedNode, key: str
) -> None:
    node.tokens, node.pause = 10, 0.05
    url = f"{patient_gateway.url}/v1/chat/completions"
    with httpx.Client(timeout=PATIENCE_SECONDS, headers=headers(key)) as keeping:
        with keeping.stream("POST", url, json=CHAT) as answer:
            lines = answer.iter_lines()
            assert next(lines)
            patient_gateway.signal(signal.SIGTERM)
            assert [line for line in lines if line][-1] == "data: [DONE]"
        patient_gateway.ended(seconds=30)


def test_a_killed_worker_is_replaced_and_the_call_goes_on(gateway: GatewayProcess, node: PlayedNode, key: str) -> None:
    started = httpx.post(
        f"{gateway.url}/v1/functions/chat/async", headers=headers(key), json=INPUT, timeout=PATIENCE_SECONDS
    ).json()
    for worker in gateway.workers():
        worker.kill()
    wait_for(gateway.healthy, "a new worker")
    shown = httpx.get(
        f"{gateway.url}/v1/invocations/{started['id']}", headers=headers(key), timeout=PATIENCE_SECONDS
    ).json()
    assert shown["state"] in ("running", "succeeded")
    wait_for(lambda: node.state(started["id"]) == "succeeded", "the end")
