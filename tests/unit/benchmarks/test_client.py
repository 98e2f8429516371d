"""The streaming client against small servers of its own."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from benchmarks.client import Target, stream, stream_when_up
from benchmarks.load import closed_loop, wave
from benchmarks.peers.on_demand import first_token_seconds
from benchmarks.processes import Child
from benchmarks.sse import Stream
from quickthaw_platform.commands.ports import claim_port

Answer = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]

EVENTS = b'data: {"choices": [{"delta": {"content": "Paris"}}]}\n\ndata: [DONE]\n\n'
OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"


async def chunked(_request: bytes, out: asyncio.StreamWriter) -> None:
    """Answer in chunks that cut through the lines."""
    out.write(OK + b"Transfer-Encoding: chunked\r\n\r\n")
    for part in (EVENTS[:7], EVENTS[7:60], EVENTS[60:]):
        out.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
    out.write(b"0\r\n\r\n")


async def unchunked(_request: bytes, out: asyncio.StreamWriter) -> None:
    out.write(OK + b"Connection: close\r\n\r\n" + EVENTS)


async def cut(_request: bytes, out: asyncio.StreamWriter) -> None:
    out.write(OK + b"Transfer-Encoding: chunked\r\n\r\n40\r\ndata: {")


async def refusing(_request: bytes, out: asyncio.StreamWriter) -> None:
    out.write(b"HTTP/1.1 429 Too Many Requests\r\n\r\n" + b'{"error": {"message": "queue full"}}')


async def serve(answer: Answer, port: int) -> asyncio.Server:
    async def handle(incoming: asyncio.StreamReader, out: asyncio.StreamWriter) -> None:
        head = await incoming.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        await answer(head + await incoming.readexactly(length), out)
        await out.drain()
        out.close()

    return await asyncio.start_server(handle, "127.0.0.1", port)


def ask(answer: Answer) -> Stream:
    async def run() -> Stream:
        port = claim_port("127.0.0.1", 0)
        async with await serve(answer, port):
            return await stream(Target(f"http://127.0.0.1:{port}", headers={"Authorization": "Bearer k"}), {"a": 1})

    return asyncio.run(run())


@pytest.mark.parametrize("answer", [chunked, unchunked])
def test_a_stream_is_read_to_its_end(answer: Answer) -> None:
    got = ask(answer)
    assert (got.text, got.complete) == ("Paris", True)
    assert got.sent <= got.arrivals[0].at <= got.ended


def test_headers_and_body_are_sent() -> None:
    seen: list[bytes] = []

    async def answer(request: bytes, out: asyncio.StreamWriter) -> None:
        seen.append(request)
        await unchunked(request, out)

    ask(answer)
    head, _, body = seen[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v1/chat/completions HTTP/1.1")
    assert b"Authorization: Bearer k" in head
    assert body == b'{"a": 1}'


def test_a_connection_that_breaks_is_an_error() -> None:
    got = ask(cut)
    assert got.error is not None
    assert not got.complete


def test_a_refusal_is_an_error_with_its_text() -> None:
    got = ask(refusing)
    assert got.error is not None
    assert "429" in got.error
    assert "queue full" in got.error


def test_asking_goes_on_until_the_server_is_up() -> None:
    calls: list[bytes] = []

    async def loading_at_first(request: bytes, out: asyncio.StreamWriter) -> None:
        calls.append(request)
        if len(calls) < 3:
            out.write(b"HTTP/1.1 503 Service Unavailable\r\n\r\nloading")
        else:
            await chunked(request, out)

    async def run() -> Stream:
        port = claim_port("127.0.0.1", 0)
        asking = asyncio.create_task(stream_when_up(Target(f"http://127.0.0.1:{port}"), {}, patience_seconds=30))
        await asyncio.sleep(0)  # the first attempt finds nobody
        async with await serve(loading_at_first, port):
            return await asking

    assert asyncio.run(run()).text == "Paris"
    assert len(calls) == 3


def test_a_server_that_never_comes_up_is_given_up() -> None:
    target = Target(f"http://127.0.0.1:{claim_port('127.0.0.1', 0)}")
    with pytest.raises(TimeoutError, match="not up"):
        asyncio.run(stream_when_up(target, {}, patience_seconds=0))


def test_a_server_that_has_ended_is_not_waited_for(tmp_path: Path) -> None:
    target = Target(f"http://127.0.0.1:{claim_port('127.0.0.1', 0)}")
    server = Child([sys.executable, "-c", "raise SystemExit('no such model')"], tmp_path / "log")
    with pytest.raises(RuntimeError, match="ended with 1:\nno such model"):
        first_token_seconds(server, target, {})


def test_a_load_run_numbers_its_requests_and_keeps_all() -> None:
    async def run() -> tuple[list[Stream], int]:
        port = claim_port("127.0.0.1", 0)
        target = Target(f"http://127.0.0.1:{port}")
        async with await serve(unchunked, port):
            load = await closed_loop(target, lambda number: {"number": number}, concurrency=3, seconds=0.05)
            return await wave(target, [{}, {}]), len(load.streams)

    both, count = asyncio.run(run())
    assert [one.complete for one in both] == [True, True]
    assert count >= 3
