"""A function's life as its users see it: thaw, scale to zero, deploy under load, hang-ups, faults of its own code."""

from __future__ import annotations

import hashlib
import hmac
import json
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from quickthaw import Client, FunctionSpec, InvocationState, Webhook
from quickthaw.errors import HandlerFailed, MemoryLimitExceeded, QuickthawError, StartFailed, TimedOut
from quickthaw.types import Handler, Limits
from tests.acceptance.cluster import ROOT, VENV_BIN, Cluster, wait_for
from tests.integration.worker.echo_checkpoint import MODEL
from tests.patience import PATIENCE_SECONDS

TEXT = " ".join(f"word{i}" for i in range(100))
LONG_TEXT = f"{TEXT} {TEXT}"


@pytest.fixture
def client(cluster: Cluster) -> Client:
    """The cluster's client, which has the admin key."""
    return cluster.client


def coded(name: str, source: str, **fields: Any) -> FunctionSpec:
    """Describe a function whose handler is `handler` in `source`, on the echo engine."""
    return FunctionSpec(
        name=name,
        model=MODEL,
        engine="echo",
        source={"function.py": source},
        handler=Handler(file="function.py", object="handler"),
        **fields,
    )


def test_a_function_scales_to_zero_and_back_on_the_first_request(client: Client) -> None:
    client.deploy(FunctionSpec(name="brief", model=MODEL, engine="echo", keep_alive="1s"))
    first = client.invoke("brief", {"prompt": "one"})
    assert (first.result, set(first.stages) >= {"queue", "fork", "prefill"}) == ("one", True)
    wait_for(lambda: not [i for i in client.instances() if i.function == "brief"], "the scale to zero")
    assert client.invoke("brief", {"prompt": "two"}).result == "two"


def test_min_instances_are_there_before_anybody_calls(client: Client) -> None:
    client.deploy(FunctionSpec(name="warm", model=MODEL, engine="echo", min_instances=1, keep_alive=0))
    ready = wait_for(lambda: [i for i in client.instances() if (i.function, i.state) == ("warm", "ready")], "readiness")
    assert client.invoke("warm", {"prompt": "one"}).instance == ready[0].id
    client.delete_function("warm")


def test_a_deploy_does_not_interrupt_what_runs_and_a_rollback_undoes_it(client: Client) -> None:
    source = (
        "def handler(model, prompt):\n    for piece in model.complete(prompt):\n        yield piece\n    yield 'V{}'\n"
    )
    options = {"token_delay": "10ms"}
    client.deploy(coded("rolling", source.format(1), options=options))
    old = client.spawn("rolling", {"prompt": TEXT})
    wait_for(lambda: old.status().state is InvocationState.RUNNING, "the start")
    client.deploy(coded("rolling", source.format(2), options=options))
    assert client.invoke("rolling", {"prompt": "a"}).result == "aV2"
    assert old.result(timeout=PATIENCE_SECONDS) == f"{TEXT}V1"
    client.rollback("rolling")
    assert client.invoke("rolling", {"prompt": "a"}).result == "aV1"


@pytest.mark.parametrize("moment", ["cold", "queued", "streaming"])
def test_a_client_that_hangs_up_cancels_all_the_way_down(cluster: Cluster, client: Client, moment: str) -> None:
    name = f"hangup-{moment}"
    delays = {"token_delay": "50ms"} | ({"load_delay": "5s"} if moment == "cold" else {})
    client.deploy(FunctionSpec(name=name, model=MODEL, engine="echo", concurrency=1, options=delays))
    if moment == "queued":
        holder = client.spawn(name, {"prompt": LONG_TEXT})
        wait_for(lambda: holder.status().state is InvocationState.RUNNING, "the slot's lease")
    headers = {"Authorization": f"Bearer {cluster.api_key}"}
    url, body = f"{cluster.url}/v1/functions/{name}/stream", {"input": {"prompt": LONG_TEXT}}
    with httpx.stream("POST", url, json=body, headers=headers, timeout=30) as response:
        identity = response.headers["x-invocation-id"]
        if moment == "streaming":
            next(line for line in response.iter_lines() if line == "event: chunk")
    ended = wait_for(lambda: one_ended(client, identity), "the cancel")
    assert ended is InvocationState.CANCELLED
    if moment == "queued":
        assert holder.status().state is InvocationState.RUNNING
        holder.cancel()
    wait_for(lambda: all(i.in_use == 0 for i in client.instances() if i.function == name), "the free slot")


def test_a_stream_that_its_reader_leaves_is_cancelled_though_the_client_sends_keys(client: Client) -> None:
    client.deploy(FunctionSpec(name="left", model=MODEL, engine="echo", options={"token_delay": "50ms"}))
    events = client.stream_events("left", {"prompt": LONG_TEXT})
    running = next(event for event in events if event.data.get("state") == "running")
    events.close()
    served = [i.in_use for i in client.instances() if i.id == running.data["instance"]]
    assert served == [0]


def one_ended(client: Client, identity: str) -> InvocationState | None:
    """Return the state of an invocation once it has ended."""
    state = client.status(identity).state
    return state if state.ended else None


FAULTS = [
    ("raises", "def handler(model):\n    raise KeyError('lost')", HandlerFailed, "KeyError: 'lost'"),
    ("not-json", "def handler(model):\n    return {1, 2}", HandlerFailed, "set"),
    ("exits", "import sys\ndef handler(model):\n    sys.exit(3)", HandlerFailed, "exited"),
    ("dies", "import os\ndef handler(model):\n    os._exit(3)", QuickthawError, "exit"),
    ("eats", "def handler(model):\n    return len(bytearray(2 << 30))", MemoryLimitExceeded, "memory limit"),
    ("sleeps", "import time\ndef handler(model):\n    time.sleep(60)\n    yield 1", TimedOut, "first"),
    ("import", "import no_such_module\ndef handler(model):\n    return 1", StartFailed, "no_such_module"),
]


@pytest.mark.parametrize(("name", "source", "kind", "words"), FAULTS, ids=[fault[0] for fault in FAULTS])
def test_a_fault_of_the_handler_reaches_its_caller_with_the_cause(
    client: Client, name: str, source: str, kind: type[QuickthawError], words: str
) -> None:
    client.deploy(coded(f"fault-{name}", source, memory="256MiB", limits=Limits(first_token=1.0)))
    with pytest.raises(kind, match=words):
        client.invoke(f"fault-{name}", {})


def test_megabytes_of_prints_cost_the_function_its_log_lines_and_nobody_anything_else(client: Client) -> None:
    source = "def handler(model):\n    for _ in range(20000):\n        print('x' * 200)\n    return 'done'"
    client.deploy(coded("loud", source))
    assert client.invoke("loud", {}).result == "done"
    wait_for(
        lambda: any("suppressed" in line.line for line in client.logs("loud")), "the line that tells of the lost ones"
    )


def test_an_instance_sees_its_own_environment_and_no_credentials(cluster: Cluster, client: Client) -> None:
    source = "import os\ndef handler(model):\n    return dict(os.environ)"
    client.deploy(coded("curious", source, env={"GREETING": "hello"}))
    client.set_secret("curious", "TOKEN", "s3cret")
    environment = client.invoke("curious", {}).result
    assert environment.items() >= {"GREETING": "hello", "TOKEN": "s3cret"}.items()
    assert set(environment) <= {"GREETING", "TOKEN", "PATH", "HOME", "LANG", "TMPDIR"}
    assert cluster.valkey.url not in environment.values()


def test_a_file_deployed_by_the_command_line_answers_by_trigger_url(cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "function.py").write_text(
        "import quickthaw\n"
        "app = quickthaw.App('demo')\n\n"
        f"@app.function(model={MODEL!r}, engine='echo', keep_alive='5s')\n"
        "def shout(model, text: str):\n"
        "    return ''.join(map(str, model.complete(text))).upper()\n"
    )
    environment = {"PATH": "/usr/bin:/bin", "QUICKTHAW_URL": cluster.url, "QUICKTHAW_API_KEY": cluster.api_key}
    command = [str(VENV_BIN / "quickthaw"), "deploy", str(tmp_path / "function.py")]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, timeout=60)
    headers = {"Authorization": f"Bearer {cluster.api_key}"}
    answer = httpx.post(f"{cluster.url}/t/shout", json={"text": "quiet"}, headers=headers, timeout=30)
    assert answer.json()["result"] == "QUIET"


class Receiver(BaseHTTPRequestHandler):
    """Keeps what is delivered; the first delivery fails, so that a retry is needed."""

    received: list[tuple[dict[str, str], bytes]]

    def do_POST(self) -> None:
        """Take a delivery."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.received.append((dict(self.headers), body))
        self.send_response(500 if len(self.received) == 1 else 204)
        self.end_headers()

    def log_message(self, *_args: object) -> None:
        """Say nothing."""


def test_a_webhook_is_delivered_signed_and_again_when_its_receiver_failed(client: Client) -> None:
    received: list[tuple[dict[str, str], bytes]] = []
    server = HTTPServer(("127.0.0.1", 0), type("Keeping", (Receiver,), {"received": received}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        hook = Webhook(url=f"http://127.0.0.1:{server.server_port}/hook", secret="a-long-secret")
        invocation = client.spawn("echo", {"prompt": "hello"}, webhook=hook)
        wait_for(lambda: len(received) >= 2, "the second delivery")
    finally:
        server.shutdown()
        server.server_close()
    headers, body = received[-1]
    assert json.loads(body)["id"] == invocation.id
    stamp, _, seal = headers["x-quickthaw-signature"].partition(",")
    signed = f"{stamp.removeprefix('t=')}.".encode() + body
    assert hmac.compare_digest(seal, f"v1={hmac.new(b'a-long-secret', signed, hashlib.sha256).hexdigest()}")


def test_metrics_add_up_over_all_gateway_workers(cluster: Cluster, client: Client) -> None:
    def finished() -> float:
        lines = httpx.get(f"{cluster.url}/metrics", timeout=PATIENCE_SECONDS).text.splitlines()
        found = [line for line in lines if line.startswith("quickthaw_request_success_total") and '"echo"' in line]
        return sum(float(line.rsplit(" ", 1)[1]) for line in found)

    before = finished()
    for _ in range(10):
        client.invoke("echo", {"prompt": "hello"})
    wait_for(lambda: finished() == before + 10, "the count of ten more")
    assert finished() == before + 10
