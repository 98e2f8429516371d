"""An OpenAI-compatible server over an engine in this process: completions as the gateway writes them."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from quickthaw.errors import QuickthawError
from quickthaw.types import Usage
from quickthaw_platform.contracts import Engine
from quickthaw_platform.gateway.openai.answer import Answer, Head
from quickthaw_platform.gateway.openai.text_format import text_response
from tests.unit.engines.tiny import Collector, request

Completion = Callable[[dict[str, Any]], dict[str, Any]]


def completing(engine: Engine) -> Completion:
    """Return what answers a request's body with the engine."""
    numbers = itertools.count()

    def complete(body: dict[str, Any]) -> dict[str, Any]:
        fields = {name: body[name] for name in ("max_tokens", "echo", "logprobs", "temperature")}
        collector = Collector()
        engine.submit(request(body["prompt"], f"r{next(numbers)}", **fields), collector)
        answer = Answer()
        for delta in collector.wait().deltas:
            answer.add(delta)
        usage = Usage(prompt_tokens=len(body["prompt"]), completion_tokens=0)
        return text_response(Head("cmpl-1", 0, body["model"]), [answer], [usage])

    return complete


@contextmanager
def serving(complete: Completion) -> Iterator[str]:
    """Serve on a free port of this machine; gives the URL. A QuickthawError is answered with its status."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            try:
                status, found = 200, complete(body)
            except QuickthawError as error:
                status, found = error.status, {"error": error.to_json()}
            data = json.dumps(found).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
