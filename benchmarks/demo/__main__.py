"""`make demo`: thaw a real model function over HTTP, cold, warm and cold again, and kill its worker while it speaks.

The function names no engine: the fastest one that is installed here generates the tokens, and is named.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import httpx
import psutil
from rich.console import Console

from benchmarks.assets import MODEL, SOURCE
from benchmarks.demo.report import DemoCall, calls_table, waterfall
from functions.chat.function import chat
from quickthaw import Client
from quickthaw.protocol import INVOCATION_HEADER
from quickthaw.resources import CheckpointCopy
from quickthaw.sse import SSEParser

QUESTION = "Name the capital of France."
EXPECTED = "Paris"
STORY = "Tell me about the history of Paris."
STORY_TOKENS = 64
KILLED_AFTER_PIECES = 16
KEEP_ALIVE_SECONDS = 3.0
START_PATIENCE_SECONDS = 180.0
SCALE_TO_ZERO_PATIENCE_SECONDS = 60.0
STOP_PATIENCE_SECONDS = 60.0
POLL_SECONDS = 0.1
QUICKTHAW = str(Path(sys.executable).with_name("quickthaw"))


class DemoFailed(Exception):
    """What did not happen, in a sentence."""


def main() -> int:
    """Run the demonstration; 0 if every answer was right and nothing was left behind."""
    console = Console(highlight=False)
    began = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="quickthaw-demo-") as folder:
            calls = _demonstrate(Path(folder), console)
    except DemoFailed as error:
        console.print(f"[red]the demonstration failed:[/] {error}")
        return 1
    console.print(calls_table(calls))
    for call in calls:
        if call.stages:
            console.print(waterfall(call))
    console.print(f"{time.monotonic() - began:.0f} seconds in all; no process is left behind")
    return 0


def _demonstrate(data_dir: Path, console: Console) -> list[DemoCall]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("QUICKTHAW_")}
    environment["QUICKTHAW_DATA_DIR"] = str(data_dir)
    console.rule(f"importing {MODEL} from {SOURCE}", align="left")
    subprocess.run([QUICKTHAW, "models", "import", SOURCE, "--name", MODEL], env=environment, check=True)
    console.rule("starting the platform", align="left")
    with _platform(environment) as (client, up):
        console.print(f"{client.endpoint.url}, node {client.nodes()[0].id}")
        version = client.deploy(chat.spec().model_copy(update={"keep_alive": KEEP_ALIVE_SECONDS}))
        console.print(f"engine {version.engine}: the fastest one installed here that reads the checkpoint")
        calls = [_cold(client, "cold", console), _question(client, "warm", console)]
        calls += _killed(client, up, console)
        _evict(client, "dram", console)
        calls.append(_cold(client, "cold, from disk", console))
        _evict(client, "disk", console)
        return [*calls, _cold(client, "cold, from S3", console)]


@contextlib.contextmanager
def _platform(environment: dict[str, str]) -> Iterator[tuple[Client, psutil.Process]]:
    """Run `quickthaw up` on free ports; at the end stop it and check that none of its processes is left."""
    data_dir = Path(environment["QUICKTHAW_DATA_DIR"])
    with (data_dir / "up.log").open("wb") as log:
        up = subprocess.Popen([QUICKTHAW, "up", "--with-s3", "--port", "0"], env=environment, stdout=log, stderr=log)
    seen: set[psutil.Process] = set()
    try:
        yield _wait_until_up(up, data_dir), psutil.Process(up.pid)
        seen.update(psutil.Process(up.pid).children(recursive=True))
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            seen.update(psutil.Process(up.pid).children(recursive=True))
        up.send_signal(signal.SIGINT)
        try:
            up.wait(STOP_PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            up.kill()
    _, left = psutil.wait_procs(seen, timeout=5)
    if left:
        raise DemoFailed(f"processes left behind: {left}")


def _wait_until_up(up: subprocess.Popen[bytes], data_dir: Path) -> Client:
    """Return a client once `quickthaw up` says that it is up."""
    deadline = time.monotonic() + START_PATIENCE_SECONDS
    log = data_dir / "up.log"
    while "quickthaw is up" not in log.read_text():
        if up.poll() is not None or time.monotonic() > deadline:
            raise DemoFailed(f"the platform did not start:\n{log.read_text()}")
        time.sleep(POLL_SECONDS)
    os.environ["QUICKTHAW_DATA_DIR"] = str(data_dir)  # where the client finds address and key
    return Client()


def _cold(client: Client, label: str, console: Console) -> DemoCall:
    """Wait until no instance is left, then call."""
    deadline = time.monotonic() + SCALE_TO_ZERO_PATIENCE_SECONDS
    with console.status("waiting until it has scaled to zero"):
        while client.instances():
            _wait(deadline, "the function did not scale to zero")
    return _question(client, label, console)


def _killed(client: Client, up: psutil.Process, console: Console) -> list[DemoCall]:
    """Have a story told, and told again while the worker that tells it is killed: it is the same, and told once."""
    calm = _call(client, "undisturbed", STORY, STORY_TOKENS, console)
    worker = next(child for child in up.children() if any("node." in part for part in child.cmdline()))

    def kill(pieces: int) -> None:
        if pieces == KILLED_AFTER_PIECES:
            console.print("[red bold] ⚡ kill -9 of the worker ⚡ [/]", end="")
            worker.kill()

    cut = _call(client, "worker killed in the middle", STORY, STORY_TOKENS, console, kill)
    if cut.text != calm.text:
        raise DemoFailed(f"the text is not the undisturbed one, {calm.text!r}, but {cut.text!r}")
    console.print(f"[green]the same text[/]; nothing came for {cut.longest_gap_seconds:.1f} s")
    return [calm, cut]


def _evict(client: Client, tier: Literal["dram", "disk"], console: Console) -> None:
    """Have the node forget the model, but for what lies further away than `tier`."""
    (node,) = client.nodes()
    deadline = time.monotonic() + SCALE_TO_ZERO_PATIENCE_SECONDS
    with console.status("waiting until the model is in S3 too and the node has dropped it"):
        while "remote" not in _copy(client).tiers:
            _wait(deadline, "the model was not pushed to S3")
        while client.instances():
            _wait(deadline, "the function did not scale to zero")
        client.evict_checkpoint(MODEL, node.id, tier)
        while {"dram", tier} & set(_copy(client).tiers):
            _wait(deadline, f"the node did not drop the model from {tier}")


def _copy(client: Client) -> CheckpointCopy:
    (copy,) = client.checkpoint(MODEL).copies
    return copy


def _wait(deadline: float, what: str) -> None:
    if time.monotonic() > deadline:
        raise DemoFailed(f"{what} within {SCALE_TO_ZERO_PATIENCE_SECONDS:.0f} s")
    time.sleep(POLL_SECONDS)


def _question(client: Client, label: str, console: Console) -> DemoCall:
    call = _call(client, label, QUESTION, None, console)
    if EXPECTED not in call.text:
        raise DemoFailed(f"the answer does not contain {EXPECTED!r}: {call.text!r}")
    return call


def _call(
    client: Client,
    label: str,
    question: str,
    tokens: int | None,
    console: Console,
    on_piece: Callable[[int], None] = lambda _number: None,
) -> DemoCall:
    """Ask over HTTP, print the answer while it comes, and time it; `on_piece` is told how many pieces have come."""
    console.rule(f"{label}: {question}", align="left")
    limit = {} if tokens is None else {"max_tokens": tokens}
    given = {"messages": [{"role": "user", "content": question}], **limit}
    body = {"input": given, "sampling": {"temperature": 0}}
    headers = {"Authorization": f"Bearer {client.endpoint.api_key}"}
    arrivals: list[tuple[float, int]] = []
    text = ""
    began = time.monotonic()
    with httpx.stream(
        "POST", f"{client.endpoint.url}/v1/functions/{chat.name}/stream", json=body, headers=headers, timeout=120
    ) as response:
        if not response.is_success:
            raise DemoFailed(f"HTTP status {response.status_code}: {response.read().decode()}")
        for piece, count in _pieces(response):
            arrivals.append((time.monotonic() - began, count))
            text += piece
            console.print(piece, end="", markup=False)
            on_piece(len(arrivals))
    console.print()
    info = client.status(response.headers[INVOCATION_HEADER])
    return DemoCall(label, arrivals, info.stages, info.tier, text)


def _pieces(response: httpx.Response) -> Iterator[tuple[str, int]]:
    """Yield text and number of tokens of each chunk; an error event raises."""
    parser = SSEParser()
    for block in response.iter_bytes():
        for event in parser.feed(block):
            data = json.loads(event.data)
            if event.event == "error":
                raise DemoFailed(f"the function failed: {data['error']['message']}")
            if event.event == "chunk":
                yield data["delta"]["text"], len(data["delta"]["tokens"])


if __name__ == "__main__":
    sys.exit(main())
