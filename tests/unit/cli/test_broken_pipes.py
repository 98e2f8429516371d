"""`quickthaw … | head`: who stops reading ends the command, and nothing is written about it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.unit.sdk.fake_gateway import event, stream

CHUNKS = [event(at, "chunk", {"delta": {"text": f"{at}\n", "tokens": [at]}}) for at in range(50)]
ANSWER = stream(*CHUNKS, event(50, "result", {"value": "the answer", "usage": {}})).read()


class Answering(BaseHTTPRequestHandler):
    """A gateway whose functions count to fifty, and whose lists are empty."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer("text/event-stream", ANSWER)

    def do_GET(self) -> None:
        self._answer("application/json", b'{"object": "list", "data": []}')

    def _answer(self, kind: str, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def gateway() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


COMMANDS = {
    "result": "invoke count",
    "result-json": "invoke count --json",
    "text": "invoke count --stream",
    "events": "invoke count --stream --json",
    "list-json": "ls --json",
    "debug": "--debug invoke count",
    "help": "--help",
    "help-of-a-group": "models --help",
    "version": "--version",
    "table-of-a-plugin": "prices ls",
    "text-of-a-plugin": "config",
}


@pytest.mark.parametrize("arguments", COMMANDS.values(), ids=COMMANDS)
def test_a_command_whose_reader_has_gone_ends_without_a_word(gateway: str, arguments: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        command = [sys.executable, "-m", "quickthaw.cli", "--url", gateway, *arguments.split()]
        done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60)
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")


def test_the_lines_before_the_reader_went_are_whole(gateway: str) -> None:
    command = [sys.executable, "-m", "quickthaw.cli", "--url", gateway, "invoke", "count", "--stream"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        read = [process.stdout.readline() for _ in range(3)]
        process.stdout.close()
        assert process.stderr.read() == ""
    assert read == ["0\n", "1\n", "2\n"]


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("arguments", ["ls", "invoke count", "invoke count --stream", "prices ls", "config"])
def test_a_command_that_was_started_without_a_stream_does_its_work(gateway: str, arguments: str, closed: str) -> None:
    command = f'exec "$0" -m quickthaw.cli --url {gateway} {arguments} {closed}'
    done = subprocess.run(["sh", "-c", command, sys.executable], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "Error" not in done.stderr


def test_a_disk_that_is_full_is_told_as_what_it_is(gateway: str) -> None:
    command = [sys.executable, "-m", "quickthaw.cli", "--url", gateway, "invoke", "count"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.strip() == "Error: No space left on device"
