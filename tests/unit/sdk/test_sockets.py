"""Both clients and the command over real sockets, against a gateway that dies: httpx's own exceptions, no mock."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from quickthaw import AsyncClient, Backoff, Client, Unreachable
from tests.unit.sdk.fake_gateway import event

QUICK = Backoff(first_seconds=0.001)
HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nx-invocation-id: inv-1\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)
ENDED = b"0\r\n\r\n"

Serve = Callable[[socket.socket, str], None]


def chunk(body: bytes) -> bytes:
    return f"{len(body):x}\r\n".encode() + body + b"\r\n"


PAR = chunk(event(1, "chunk", {"value": "Par"}))
IS = chunk(event(2, "chunk", {"value": "is"}))
RESULT = chunk(event(3, "result", {"value": "Paris"}))


@contextmanager
def gateway(*connections: Serve) -> Iterator[str]:
    """Serve connection n with function n, which gets the request; yields the URL."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def run() -> None:
            for serve in connections:
                connection, _ = server.accept()
                with connection:
                    serve(connection, _request(connection))

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        thread.join(10)
        assert not thread.is_alive()


def _request(connection: socket.socket) -> str:
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    length = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")), 0)
    while len(body) < length:
        body += connection.recv(65536)
    return head.decode()


def cut(connection: socket.socket, request: str) -> None:
    """Send one event and a half, then close in the middle of a chunk."""
    connection.sendall(HEAD + PAR + IS[:10])


def reset(connection: socket.socket, request: str) -> None:
    """Send one event, then reset the connection."""
    connection.sendall(HEAD + PAR)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def hang_up(connection: socket.socket, request: str) -> None:
    """Close without an answer."""


def rest(connection: socket.socket, request: str) -> None:
    """Send what follows event 1, if that is what was asked for."""
    assert request.startswith("GET /v1/invocations/inv-1/events "), request
    assert "last-event-id: 1" in request.lower()
    connection.sendall(HEAD + IS + RESULT + ENDED)


def everything(connection: socket.socket, request: str) -> None:
    """Send the whole stream."""
    connection.sendall(HEAD + PAR + IS + RESULT + ENDED)


def collect_sync(url: str) -> list[str]:
    with Client(url, backoff=QUICK) as client:
        return list(client.stream("chat", {}))


def collect_async(url: str) -> list[str]:
    async def run() -> list[str]:
        async with AsyncClient(url, backoff=QUICK) as client:
            return [item async for item in client.stream("chat", {})]

    return asyncio.run(run())


def collect_sync_twice(url: str, between: Callable[[], None]) -> list[str]:
    with Client(url, backoff=Backoff(first_seconds=0.05)) as client:
        first = list(client.stream("chat", {}))
        between()
        return first + list(client.stream("chat", {}))


def collect_async_twice(url: str, between: Callable[[], None]) -> list[str]:
    async def run() -> list[str]:
        async with AsyncClient(url, backoff=Backoff(first_seconds=0.05)) as client:
            first = [item async for item in client.stream("chat", {})]
            between()
            return first + [item async for item in client.stream("chat", {})]

    return asyncio.run(run())


@pytest.mark.parametrize("collect", [collect_sync, collect_async])
@pytest.mark.parametrize("connections", [(cut, rest), (reset, rest), (hang_up, everything)])
def test_a_stream_survives_a_gateway_that_dies(
    collect: Callable[[str], list[str]], connections: tuple[Serve, ...]
) -> None:
    with gateway(*connections) as url:
        assert collect(url) == ["Par", "is"]


@pytest.mark.parametrize("collect", [collect_sync, collect_async])
def test_nobody_there_is_unreachable(collect: Callable[[str], list[str]]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(Unreachable, match="quickthaw up"):
        collect(f"http://127.0.0.1:{port}")


@pytest.mark.parametrize("collect", [collect_sync_twice, collect_async_twice])
def test_a_gateway_that_has_answered_before_may_be_restarting(
    collect: Callable[[str, Callable[[], None]], list[str]],
) -> None:
    """A later call waits for it, though nobody listens when it is made."""

    def serve(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection:
            everything(connection, _request(connection))

    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as first, socket.socket() as second:
        second.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        second.bind(first.getsockname())  # it keeps the port, and refuses connections until it listens
        threading.Thread(target=serve, args=(first,), daemon=True).start()

        def come_back() -> None:
            second.listen()
            serve(second)

        def restart() -> None:
            first.close()
            threading.Timer(0.3, come_back).start()

        assert collect(f"http://127.0.0.1:{second.getsockname()[1]}", restart) == ["Par", "is"] * 2


def test_each_output_is_there_before_the_next_is_sent() -> None:
    seen = threading.Event()

    def slowly(connection: socket.socket, request: str) -> None:
        connection.sendall(HEAD + PAR)
        assert seen.wait(10)  # the reader has it before more comes
        connection.sendall(IS + RESULT + ENDED)

    with gateway(slowly) as url, Client(url, backoff=QUICK) as client:
        outputs = client.stream("chat", {})
        assert next(outputs) == "Par"
        seen.set()
        assert list(outputs) == ["is"]


def test_ctrl_c_hangs_up_in_mid_stream(tmp_path: Path) -> None:
    closed = threading.Event()

    def until_closed(connection: socket.socket, request: str) -> None:
        connection.sendall(HEAD + PAR)
        if select.select([connection], [], [], 30)[0] and connection.recv(1) == b"":
            closed.set()

    environ = {**os.environ, "QUICKTHAW_DATA_DIR": str(tmp_path)}
    with gateway(until_closed) as url:
        words = [sys.executable, "-m", "quickthaw.cli", "--url", url, "invoke", "chat", "--stream"]
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environ) as process:
            assert process.stdout is not None
            assert process.stdout.read(3) == b"Par"
            process.send_signal(signal.SIGINT)
            assert closed.wait(30)
            _, stderr = process.communicate(timeout=30)
    assert process.returncode == 1
    assert b"Traceback" not in stderr
