"""`python -m benchmarks.load_generator.server`: an endpoint that answers with the same delays each time.

It prints its URL and serves until it is ended. Times are kept by a schedule, so that a token that was late does not
delay those behind it.
"""

from __future__ import annotations

import asyncio
import json

import click


class SteadyServer:
    """Streams chat completions: the first token `first` seconds after the request, each further one `gap` later."""

    def __init__(self, first: float, gap: float) -> None:
        self._first, self._gap = first, gap

    async def connected(self, incoming: asyncio.StreamReader, outgoing: asyncio.StreamWriter) -> None:
        """Serve one connection, request by request."""
        try:
            while True:
                body = await _request(incoming)
                await self._answer(body, asyncio.get_running_loop().time(), outgoing)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            outgoing.close()

    async def _answer(self, body: dict[str, object], begin: float, outgoing: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        tokens = int(str(body.get("max_completion_tokens") or body.get("max_tokens") or 16))
        head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        outgoing.write(head.encode())
        for number in range(tokens):
            await asyncio.sleep(begin + self._first + number * self._gap - loop.time())
            _write(outgoing, _chunk([{"index": 0, "delta": {"content": f"w{number} "}, "finish_reason": None}]))
            await outgoing.drain()
        usage = {"prompt_tokens": 64, "completion_tokens": tokens, "total_tokens": 64 + tokens}
        _write(outgoing, _chunk([{"index": 0, "delta": {}, "finish_reason": "length"}]))
        _write(outgoing, _chunk([]) | {"usage": usage})
        outgoing.write(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")
        await outgoing.drain()


async def _request(incoming: asyncio.StreamReader) -> dict[str, object]:
    head = (await incoming.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    length = next(int(line.partition(":")[2]) for line in head.split("\r\n") if line.startswith("content-length:"))
    found: dict[str, object] = json.loads(await incoming.readexactly(length))
    return found


def _chunk(choices: list[dict[str, object]]) -> dict[str, object]:
    return {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "steady", "choices": choices}


def _write(outgoing: asyncio.StreamWriter, chunk: dict[str, object]) -> None:
    data = f"data: {json.dumps(chunk)}\n\n".encode()
    outgoing.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")


async def _serve(server: SteadyServer) -> None:
    listening = await asyncio.start_server(server.connected, "127.0.0.1", 0)
    host, port = listening.sockets[0].getsockname()
    print(f"http://{host}:{port}", flush=True)
    await listening.serve_forever()


@click.command()
@click.option("--first-ms", default=100.0, show_default=True)
@click.option("--gap-ms", default=20.0, show_default=True)
def main(first_ms: float, gap_ms: float) -> None:
    """Serve on a free port until ended."""
    asyncio.run(_serve(SteadyServer(first_ms / 1000, gap_ms / 1000)))


if __name__ == "__main__":
    main()
