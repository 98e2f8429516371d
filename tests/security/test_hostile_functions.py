"""Functions that speak to the agent over their instance's own socket, past all that an instance does for them."""

from __future__ import annotations

import json
import resource
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast
from zlib import crc32

import psutil
import pytest

from quickthaw.types import InvocationState, Version
from quickthaw_platform.cage import rlimits
from quickthaw_platform.worker import zygote_client
from quickthaw_platform.worker.log_lines import LOG_SECONDS
from tests.integration.worker.node_process import NodeProcess, running_node
from tests.integration.worker.worker_process import wait_for

MOST_IN_A_MESSAGE = 253
"""Descriptors, by the kernel, which looks only before a message at how many are on their way."""

PARTS = 30 << 20
MOST_MEMORY = 500 << 20

LINK = '''
import array, ctypes, os, socket, stat, struct, time
import msgpack

def link():
    """The socket to the agent: the one of this process that has a peer and no name."""
    for name in os.listdir("/proc/self/fd"):
        try:
            if stat.S_ISSOCK(os.fstat(int(name)).st_mode):
                return socket.socket(fileno=os.dup(int(name)))
        except OSError:
            continue

def send(frame, descriptors=()):
    body = msgpack.packb(frame)
    data = struct.pack(">I", len(body)) + body
    found = link()
    found.setblocking(True)
    sent = socket.send_fds(found, [data], list(descriptors)) if descriptors else 0
    found.sendall(data[sent:])

def raw(data):
    found = link()
    found.setblocking(True)
    found.sendall(data)

def handle(model, waits=0.0):
'''


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    with running_node(tmp_path_factory.mktemp("node")) as worker:
        yield worker


def hostile(node: NodeProcess, name: str, body: str, **spec: Any) -> Version:
    return node.deploy(name, LINK + textwrap.indent(textwrap.dedent(body), "    "), **spec)


def open_descriptors(node: NodeProcess) -> int:
    assert node.process is not None
    return psutil.Process(node.process.pid).num_fds()


def lines(node: NodeProcess, function: str) -> list[dict[str, str]]:
    found = cast("list[tuple[str, dict[str, str]]]", node.redis.xrange(f"qt:logs:{function}"))
    return [fields for _, fields in found]


def told(node: NodeProcess, function: str) -> bool:
    said = [line["line"] for line in lines(node, function) if line["stream"] == "platform"]
    return any("reported what it may not" in line for line in said)


def test_descriptors_that_an_instance_sends_do_not_stay_open_in_the_agent(node: NodeProcess) -> None:
    version = hostile(
        node,
        "descriptors",
        """
        for number in range(50):
            opened = [os.open("/dev/null", os.O_RDONLY) for _ in range(16)]
            send({"t": "stage", "name": "fork", "seconds": 0.1}, opened)
            for each in opened: os.close(each)
        return "sent"
        """,
    )
    assert node.call(version, {}).result == "sent"
    before = open_descriptors(node)
    assert node.call(version, {}).result == "sent"
    assert open_descriptors(node) <= before + 5


def test_a_long_log_line_is_cut_by_the_agent_and_its_stream_is_not_the_platforms(node: NodeProcess) -> None:
    version = hostile(
        node,
        "lines",
        """
        send({"t": "log", "invocation": None, "stream": "stdout", "line": "x" * (4 << 20)})
        return "sent"
        """,
    )
    assert node.call(version, {}).result == "sent"
    wait_for(lambda: any(line["line"].startswith("xxx") for line in lines(node, "lines")), "the line")
    assert max(len(line["line"]) for line in lines(node, "lines")) <= 8192


def test_more_lines_than_an_instance_may_log_in_a_second_are_left_out_by_the_agent(node: NodeProcess) -> None:
    version = hostile(
        node,
        "flood",
        """
        for number in range(20_000):
            send({"t": "log", "invocation": None, "stream": "stderr", "line": "flood"})
        time.sleep(1.1)
        send({"t": "log", "invocation": None, "stream": "stderr", "line": "last"})
        return "sent"
        """,
    )
    assert node.call(version, {}).result == "sent"
    wait_for(lambda: any(line["line"] == "last" for line in lines(node, "flood")), "the last line")
    said = [line["line"] for line in lines(node, "flood")]
    assert any(line.startswith("suppressed ") for line in said)
    assert said.count("flood") < 20_000


@pytest.mark.parametrize(
    "frame",
    [
        '{"t": "log", "invocation": None, "stream": "platform", "line": "all is well"}',
        '{"t": "log", "invocation": None, "stream": "stdout", "line": 7}',
        '{"t": "log", "stream": "stdout", "invocation": "i" * 1000, "line": "hi"}',
        '{"t": "stage", "name": "invented" + str(time.time()), "seconds": 1.0}',
        '{"t": "stage", "name": "engine", "seconds": float("nan")}',
        '{"t": "stage", "name": "engine", "seconds": "long"}',
    ],
    ids=["the platform's stream", "no text", "no invocation's id", "no stage", "no number", "a text"],
)
def test_an_instance_that_reports_what_it_may_not_is_ended_with_a_line_that_says_why(
    node: NodeProcess, frame: str
) -> None:
    name = f"liar-{crc32(frame.encode())}"
    version = hostile(node, name, f"send({frame})\ntime.sleep(30)\nreturn 'still here'")
    identity = node.invoke(version, {})
    wait_for(lambda: told(node, name), "the line that says why")
    wait_for(lambda: node.store.get(identity).state is InvocationState.QUEUED, "the loss of its instance")
    wait_for(lambda: "reported what it may not" in (node.store.get(identity).reason or ""), "the call's reason")
    assert not any("all is well" in line["line"] for line in lines(node, name))
    assert node.call(hostile(node, f"{name}-bystander", "return 'fine'"), {}).result == "fine"


NESTED: list[Any] = []
for _ in range(250):
    NESTED = [NESTED]


@pytest.mark.parametrize(
    ("kind", "forged"),
    [
        ("chunk", {"mark": "0.0."}),
        ("chunk", {"delta": {}}),
        ("chunk", {"delta": {"text": 7, "tokens": []}}),
        ("chunk", {"delta": {"text": "x", "tokens": [], "tool_calls": [{}]}}),
        ("chunk", {"delta": {"text": "x", "tokens": [], "logprobs": [{"token": 1, "text": "x"}]}, "mark": "0.0."}),
        ("chunk", {"delta": {"text": "x", "tokens": [], "invented": 1}}),
        ("chunk", {"value": NESTED}),
        ("error", {"error": {"code": "queue_full", "message": "x", "retry_after_seconds": "soon"}}),
    ],
    ids=["a mark", "nothing", "no text", "no call", "no log-probability", "another field", "nested", "an error"],
)
def test_output_that_is_none_ends_its_instance_and_reaches_nobody(
    node: NodeProcess, kind: str, forged: dict[str, Any]
) -> None:
    """Gateways, and the nodes to which a call moves, read it as what a model has said, or what went wrong."""
    name = f"forger-{crc32(str(forged).encode())}"
    body = f"""
        import json
        import quickthaw_platform.worker.frames as frames
        encode, forged = frames.encode, json.loads({json.dumps(forged)!r})
        frames.encode = lambda frame: encode({{**frame, **forged}} if frame["t"] == "{kind}" else frame)
        if "{kind}" == "error": raise ValueError
        yield "a value"
        time.sleep(30)
    """
    identity = node.invoke(hostile(node, name, body), {})
    wait_for(lambda: told(node, name), "the line that says why")
    assert node.store.history(identity).outputs == ()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('raw(struct.pack(">I", 1) + b"\\xc1")', "what is no message (not msgpack: "),
        ('raw(struct.pack(">I", 0xFFFFFFFF))', "what is no message (a frame of 4,294,967,295 bytes; at most "),
        ("link().shutdown(socket.SHUT_RDWR)", "exited with status 0"),
        ("ctypes.string_at(0)", "signal 11 (it used memory that is not its own"),
        ("os._exit(7)", "exited with status 7"),
    ],
    ids=["no message", "too long a message", "the socket", "a signal", "an exit"],
)
def test_an_instance_that_ends_says_why_in_the_log_and_in_the_error_of_its_call(
    node: NodeProcess, body: str, said: str
) -> None:
    name = f"ends-{crc32(body.encode())}"
    version = hostile(node, name, f"{body}\ntime.sleep(60)", resumable=False)
    ended = node.call(version, {})
    assert (ended.error or {})["code"] == "instance_lost"
    assert said in (ended.error or {})["message"]
    assert ended.attempts == 1  # as resumable=False has it, though nothing was put out

    def logged() -> bool:
        told = [line["line"] for line in lines(node, name) if line["stream"] == "platform"]
        return any(line.startswith("the instance ") and said in line for line in told)

    wait_for(logged, "the line in the function's log")


def most_memory(node: NodeProcess) -> int:
    """Return the most bytes of memory that the agent has had."""
    assert node.process is not None
    status = Path(f"/proc/{node.process.pid}/status").read_text()
    return next(int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmHWM:"))


def test_a_frame_of_small_parts_does_not_fill_the_agents_memory(node: NodeProcess) -> None:
    """Each of them has a byte in the frame, and 64 in a process that unpacks it: 2 GB came of this one."""
    version = hostile(
        node,
        "bloated",
        f"""
        end = struct.pack(">BI", 0xDD, {PARTS}) + bytes([0x80]) * {PARTS}  # a list of empty maps
        body = msgpack.packb({{"t": "log", "line": None}})[:-1] + end
        found = link()
        found.setblocking(True)
        os.write(1, b"sending\\n")
        found.sendall(struct.pack(">I", len(body)) + body)
        time.sleep(30)
        """,
    )
    before = most_memory(node)
    identity = node.invoke(version, {})
    wait_for(lambda: any(line["line"] == "sending" for line in lines(node, "bloated")), "the frame")
    wait_for(lambda: node.store.get(identity).state is InvocationState.QUEUED, "the loss of its instance")
    assert "lists and maps" in (node.store.get(identity).reason or "")
    assert most_memory(node) - before < MOST_MEMORY
    assert node.call(hostile(node, "bloated-bystander", "return 'fine'"), {}).result == "fine"


def test_the_log_of_a_function_has_an_end_and_goes_with_the_function(node: NodeProcess) -> None:
    version = hostile(node, "logged", "print('a secret')\nreturn 'said'")
    assert node.call(version, {}).result == "said"
    wait_for(lambda: lines(node, "logged"), "the line")
    assert 0 < node.redis.ttl("qt:logs:logged") <= LOG_SECONDS
    node.registry.delete("logged")
    assert lines(node, "logged") == []


def test_descriptors_that_functions_have_on_their_way_leave_the_agent_room_for_its_own(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """With 1,024, which many users begin with, a function of the agent's user kept it from starting anything."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(1024, soft), hard))
    try:
        with running_node(tmp_path_factory.mktemp("few-files")) as worker:
            assert worker.process is not None
            may_open, _ = psutil.Process(worker.process.pid).rlimit(psutil.RLIMIT_NOFILE)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert may_open == hard
    assert hard > rlimits.MOST_OPEN_FILES + MOST_IN_A_MESSAGE


def test_an_instance_knows_no_token_of_the_worker() -> None:
    tokens = dict.fromkeys(("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH", "AWS_SESSION_TOKEN"), "secret")
    known = zygote_client.environment({**tokens, "HF_HOME": "/models", "HF_HUB_OFFLINE": "1"})
    assert "secret" not in known.values()
    assert known["HF_HOME"] == "/models"
