"""Names that are answered slowly, requests that do not end, halves of connections: each has its share and time."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from quickthaw.egress import read_destinations
from quickthaw_platform.egress import connecting, gate, proxying
from quickthaw_platform.egress.gate import Gate, Requests
from quickthaw_platform.egress.rules import Rules
from quickthaw_platform.outbound.posting import post
from quickthaw_platform.setting_values.networks import read_networks
from tests.patience import PATIENCE_SECONDS

SOON_SECONDS = 0.2
LISTED = ("slow.test:9", "slow2.test:9", "here.test:9")


class SlowNames:
    """Answers `slow…` when told to, and `here…` at once."""

    def __init__(self) -> None:
        self.asked = 0
        self.answer = threading.Event()
        self._resolve = socket.getaddrinfo

    def __call__(self, name: str, port: int, *arguments: Any, **more: Any) -> list[Any]:
        if not name.endswith(".test"):
            return self._resolve(name, port, *arguments, **more)
        if name.startswith("slow"):
            self.asked += 1
            assert self.answer.wait(PATIENCE_SECONDS)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowNames]:
    found = SlowNames()
    monkeypatch.setattr(socket, "getaddrinfo", found)
    yield found
    found.answer.set()


def test_a_webhook_to_a_name_that_is_answered_slowly_is_left_at_its_deadline(names: SlowNames) -> None:
    """The end of the loop waited for the resolver, however long that took."""
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        post("http://slow.test/", b"{}", {}, allowed=(), deadline_seconds=SOON_SECONDS)
    assert not names.answer.is_set()
    assert time.monotonic() - began < PATIENCE_SECONDS


@asynccontextmanager
async def gates(count: int, requests: Requests | None = None) -> AsyncIterator[list[int]]:
    """Open the ways out of so many instances of one version; yields their ports."""
    requests = requests or Requests("f", "v")
    rules = Rules(read_destinations(LISTED), read_networks("127.0.0.0/8"))
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    opened = [Gate(listener, rules, requests) for listener in listeners]
    try:
        yield [listener.getsockname()[1] for listener in listeners]
    finally:
        for each in opened:
            await each.close()


async def said(port: int, sent: bytes, *, half_closed: bool = False) -> bytes:
    """Return all that a proxy answers to what is sent, until it closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    if half_closed:
        writer.write_eof()
    try:
        return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():
            await asyncio.sleep(0.005)


def connect_to(name: str) -> bytes:
    return f"CONNECT {name}:9 HTTP/1.1\r\nHost: {name}\r\n\r\n".encode()


def test_names_that_are_answered_slowly_are_a_share_of_their_version_and_refused_in_time(
    names: SlowNames, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connecting, "LOOKUP_SECONDS", SOON_SECONDS)

    async def attack() -> None:
        async with gates(2) as (first, second), gates(1, Requests("g", "w")) as (other,):
            refused = await asyncio.gather(*(said(port, connect_to("slow.test")) for port in [first, second] * 10))
            assert all(b"502 slow.test has no address that is told within" in answer for answer in refused)
            assert names.asked == gate.MOST_LOOKUPS  # of 20: threads that nobody waits for still have their places
            assert b"502 here.test:9 cannot be reached" in await said(other, connect_to("here.test"))

    asyncio.run(attack())


def test_a_request_that_does_not_end_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxying, "HEAD_SECONDS", SOON_SECONDS)

    async def attack() -> None:
        async with gates(1) as (port,), asyncio.timeout(PATIENCE_SECONDS):
            assert await said(port, b"GET http://here.test:9/ HTTP/1.1\r\nx: y\r\n") == b""

    asyncio.run(attack())


def test_half_of_a_connection_is_closed_soon_and_its_descriptors_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that has gone looks like one that sends no more; its server may stay silent for ever."""
    monkeypatch.setattr(proxying, "HALF_CLOSED_SECONDS", SOON_SECONDS)
    taken: list[asyncio.StreamReader] = []

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        taken.append(reader)
        await reader.read()
        taken.remove(reader)
        writer.close()

    async def attack() -> None:
        server = await asyncio.start_server(silent, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        rules = Rules(read_destinations([f"here.test:{port}"]), read_networks("127.0.0.0/8"))
        listener = socket.create_server(("127.0.0.1", 0))
        way_out = Gate(listener, rules, Requests("f", "v"))
        asked = f"CONNECT here.test:{port} HTTP/1.1\r\nHost: here.test\r\n\r\n".encode()
        async with asyncio.timeout(PATIENCE_SECONDS):
            answers = await asyncio.gather(
                *(said(listener.getsockname()[1], asked, half_closed=True) for _ in range(gate.MOST_CONNECTIONS + 10))
            )
            assert all(answer.startswith(b"HTTP/1.1 200") for answer in answers)
            await until(lambda: not taken)
            await way_out.close()
            server.close()
            await server.wait_closed()

    monkeypatch.setattr(socket, "getaddrinfo", SlowNames())
    asyncio.run(attack())


def test_a_client_of_a_webhook_that_hangs_up_in_the_middle_is_an_error_and_no_wait() -> None:
    with socket.create_server(("127.0.0.1", 0)) as receiver:

        def half_an_answer() -> None:
            peer, _ = receiver.accept()
            with peer:
                peer.recv(4096)
                peer.send(b"HTTP/1.1 20")

        answering = threading.Thread(target=half_an_answer)
        answering.start()
        with pytest.raises(httpx.HTTPError):
            post(
                f"http://127.0.0.1:{receiver.getsockname()[1]}/",
                b"{}",
                {},
                allowed=read_networks("127.0.0.1"),
                deadline_seconds=PATIENCE_SECONDS,
            )
        answering.join()
