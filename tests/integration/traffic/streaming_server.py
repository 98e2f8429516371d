"""A small OpenAI-compatible server that answers as the model's name says: well, or badly in a certain way."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any, Self

CHARACTERS_A_TOKEN = 4
TEMPLATE_TOKENS = 7


class StreamingServer:
    """Runs in a thread of its own from the start to the end of the `with` block. `bodies` is what it was asked.

    With `together` it answers nobody before so many have asked.
    """

    def __init__(self, *, together: int = 0) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[str] = []
        self.connections = 0
        self.url = ""
        self._together = together
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._started.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)

    async def _serve(self) -> None:
        self._loop, self._stop, self._released = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
        self._all_there = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._started.set()
        await self._stop.wait()
        server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, incoming: asyncio.StreamReader, outgoing: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.connections += 1
        self._tasks.add(task)
        try:
            while await self._exchange(incoming, outgoing):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._tasks.discard(task)
            outgoing.close()

    async def _exchange(self, incoming: asyncio.StreamReader, outgoing: asyncio.StreamWriter) -> bool:
        head = (await incoming.readuntil(b"\r\n\r\n")).decode()
        length = next((int(line.split(":")[1]) for line in head.lower().split("\r\n") if "content-length" in line), 0)
        raw = await incoming.readexactly(length)
        if head.startswith("GET /v1/invocations/"):
            await self._invocation(head.split()[1].rpartition("/")[2], outgoing)
            return True
        body = json.loads(raw)
        self.bodies.append(body)
        self.headers.append(head)
        if len(self.bodies) >= self._together:
            self._all_there.set()
        await self._all_there.wait()
        answer = getattr(self, f"_answer_{body['model']}")
        return bool(await answer(body, outgoing))

    async def _invocation(self, id: str, outgoing: asyncio.StreamWriter) -> None:
        number = int(id.removeprefix("inv-"))
        cold: dict[str, Any] = {"tier": "disk", "stages": {"weights": 0.2, "fork": 0.01}}
        warm: dict[str, Any] = {"tier": None, "stages": {}}
        times = {"created_at": 100.0, "assigned_at": 100.25}
        record = {"id": id, "node": "node-1", "a_field_of_the_future": 1} | times | (cold if number == 1 else warm)
        status = "200 OK" if number < 3 else "404 Not Found"
        await _plain(outgoing, status, "application/json", json.dumps(record))

    async def _answer_good(self, body: dict[str, Any], outgoing: asyncio.StreamWriter) -> bool:
        await self._tokens(body, outgoing)
        await _part(outgoing, "data: [DONE]\n\n")
        await _end(outgoing)
        return True

    async def _answer_quickthaw(self, body: dict[str, Any], outgoing: asyncio.StreamWriter) -> bool:
        await self._tokens(body, outgoing, f"x-invocation-id: inv-{len(self.bodies)}\r\n")
        await _part(outgoing, "data: [DONE]\n\n")
        await _end(outgoing)
        return True

    async def _answer_undone(self, body: dict[str, Any], outgoing: asyncio.StreamWriter) -> bool:
        await self._tokens(body, outgoing)
        await _end(outgoing)
        return True

    async def _answer_lingers(self, body: dict[str, Any], outgoing: asyncio.StreamWriter) -> bool:
        await self._tokens(body, outgoing)
        await _part(outgoing, "data: [DONE]\n\n")
        await self._released.wait()
        return False

    async def _answer_breaks(self, body: dict[str, Any], outgoing: asyncio.StreamWriter) -> bool:
        await self._tokens(body, outgoing)
        return False

    async def _answer_stalls(self, body: dict[str, Any], outgoing: asyncio.StreamWriter) -> bool:
        await self._tokens(body, outgoing)
        await self._released.wait()
        return False

    async def _answer_fails(self, body: dict[str, Any], outgoing: asyncio.StreamWriter) -> bool:
        await self._tokens(body, outgoing)
        await _part(outgoing, 'data: {"error": {"message": "out of memory"}}\n\ndata: [DONE]\n\n')
        await _end(outgoing)
        return True

    async def _answer_silent(self, body: dict[str, Any], outgoing: asyncio.StreamWriter) -> bool:
        await _open(outgoing)
        await _part(outgoing, "data: [DONE]\n\n")
        await _end(outgoing)
        return True

    async def _answer_garbled(self, body: dict[str, Any], outgoing: asyncio.StreamWriter) -> bool:
        await _open(outgoing)
        await _part(outgoing, "data: {no json\n\n")
        await _end(outgoing)
        return True

    async def _answer_html(self, body: dict[str, Any], outgoing: asyncio.StreamWriter) -> bool:
        await _plain(outgoing, "200 OK", "text/html; charset=utf-8", "<html><body>Welcome to nginx</body></html>")
        return True

    async def _answer_full(self, body: dict[str, Any], outgoing: asyncio.StreamWriter) -> bool:
        error = json.dumps({"error": {"message": "the queue is full", "code": "queue_full"}})
        await _plain(outgoing, "429 Too Many Requests", "application/json", error)
        return True

    async def _answer_uncounted(self, body: dict[str, Any], outgoing: asyncio.StreamWriter) -> bool:
        await self._tokens(body | {"stream_options": None}, outgoing)
        await _part(outgoing, "data: [DONE]\n\n")
        await _end(outgoing)
        return True

    async def _tokens(self, body: dict[str, Any], outgoing: asyncio.StreamWriter, headers: str = "") -> None:
        await _open(outgoing, headers)
        await _chunk(outgoing, {"role": "assistant", "content": ""})
        for number in range(body["max_tokens"]):
            await _chunk(outgoing, {"content": f"w{number} "})
        if body["stream_options"]:
            text = body["messages"][0]["content"] if "messages" in body else body["prompt"]
            usage = {
                "prompt_tokens": TEMPLATE_TOKENS + len(text) // CHARACTERS_A_TOKEN,
                "completion_tokens": body["max_tokens"],
            }
            await _part(outgoing, f"data: {json.dumps({'choices': [], 'usage': usage})}\n\n")


async def _plain(outgoing: asyncio.StreamWriter, status: str, kind: str, text: str) -> None:
    head = f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {len(text.encode())}\r\n\r\n"
    outgoing.write((head + text).encode())
    await outgoing.drain()


async def _open(outgoing: asyncio.StreamWriter, headers: str = "") -> None:
    head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n"
    outgoing.write(f"{head}{headers}\r\n".encode())
    await outgoing.drain()


async def _chunk(outgoing: asyncio.StreamWriter, delta: dict[str, str]) -> None:
    body = {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta}], "usage": None}
    await _part(outgoing, f"data: {json.dumps(body)}\n\n")


async def _part(outgoing: asyncio.StreamWriter, text: str) -> None:
    data = text.encode()
    outgoing.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
    await outgoing.drain()


async def _end(outgoing: asyncio.StreamWriter) -> None:
    outgoing.write(b"0\r\n\r\n")
    await outgoing.drain()
