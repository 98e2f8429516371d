"""`python server.py PORT [REQUESTS]`: a small OpenAI-compatible server; it ends by itself after so many requests."""

from __future__ import annotations

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT, MOST = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1 << 30
served = 0


class Handler(BaseHTTPRequestHandler):
    """Answers each chat completion with as many words as were asked for."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        global served
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        served += 1
        if served > MOST:
            print("enough", flush=True)
            threading.Thread(target=self.server.shutdown).start()
            self.close_connection = True
            return
        chunks = [{"choices": [{"index": 0, "delta": {"content": f"w{n} "}}]} for n in range(body["max_tokens"])]
        text = "".join(message["content"] for message in body["messages"])
        usage = {"prompt_tokens": 7 + len(text) // 4, "completion_tokens": len(chunks)}
        events = [json.dumps(chunk) for chunk in (*chunks, {"choices": [], "usage": usage})] + ["[DONE]"]
        data = "".join(f"data: {event}\n\n" for event in events).encode()
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


ThreadingHTTPServer(("127.0.0.1", PORT), Handler).serve_forever()
