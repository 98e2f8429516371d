"""Hostile functions on a node, at each level: what they reach of the node and of others, and what they leave behind."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from quickthaw.types import InvocationState, Isolation, Version
from quickthaw_platform.cage.probing import probe
from quickthaw_platform.worker import forking
from tests.integration.worker.node_process import NodeProcess, running_node
from tests.integration.worker.worker_process import wait_for

STRICT, PROCESS = Isolation.STRICT, Isolation.PROCESS
GRANT = probe(None, forking.fork)
needs_strict = pytest.mark.skipif(GRANT.level is not STRICT, reason=f"no strict isolation here: {GRANT.why}")
LEVELS = [pytest.param(STRICT, marks=needs_strict), PROCESS]
DAEMON = "31536000.5"
"""Seconds that a daemon sleeps, by which it is found."""


@pytest.fixture(scope="module")
def strict_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    with running_node(tmp_path_factory.mktemp("strict"), isolation="strict", scratch=8 << 20) as worker:
        yield worker


@pytest.fixture(scope="module")
def process_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    with running_node(tmp_path_factory.mktemp("process"), isolation="process") as worker:
        yield worker


@pytest.fixture(params=LEVELS, ids=["strict", "process"])
def node(request: pytest.FixtureRequest) -> NodeProcess:
    level: Isolation = request.param
    found: NodeProcess = request.getfixturevalue(f"{level.value}_node")
    return found


def deploy(node: NodeProcess, name: str, body: str, **spec: Any) -> Version:
    source = "import os, sys, time, json\n\ndef handle(model, **input):\n" + textwrap.indent(
        textwrap.dedent(body), "    "
    )
    return node.deploy(name, source, **spec)


def answer(node: NodeProcess, name: str, body: str, **spec: Any) -> Any:
    """Return what a function's code returns."""
    info = node.call(deploy(node, name, body, **spec), {})
    assert info.state is InvocationState.SUCCEEDED, info.error
    return info.result


def daemons() -> list[psutil.Process]:
    return [p for p in psutil.process_iter(["cmdline"]) if (p.info["cmdline"] or [""])[-1] == DAEMON]


def test_a_node_says_what_its_instances_are_isolated_by(node: NodeProcess) -> None:
    told = node.redis.hgetall("qt:node:n1")
    assert told["isolation"] in {"strict", "process"}
    assert told["not_stronger"] == ""  # it was set so


def test_what_a_function_starts_ends_with_its_instance(node: NodeProcess) -> None:
    body = f"""
    def command(pid):
        try: return open(f"/proc/{{pid}}/cmdline").read().split("\\0")
        except OSError: return []  # it has ended since it was listed
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execv("/bin/sleep", ["sleep", "{DAEMON}"])
        os._exit(0)
    while not any("{DAEMON}" in command(p) for p in os.listdir("/proc") if p.isdigit()):
        time.sleep(0.01)
    return "left"
    """
    version = deploy(node, "daemon", body)
    assert node.call(version, {}).result == "left"
    assert daemons()
    for view in node.slots.instances(version=version.id):
        node.commands.stop("n1", view.id)
    wait_for(lambda: not daemons(), "the end of what the function left")


def test_zombies_are_reaped(node: NodeProcess) -> None:
    version = deploy(node, "zombies", "for _ in range(20):\n    if os.fork() == 0: os._exit(0)\nreturn 'left'")
    assert node.call(version, {}).result == "left"
    for view in node.slots.instances(version=version.id):
        node.commands.stop("n1", view.id)
    wait_for(lambda: not node.slots.instances(version=version.id), "the instance's end")
    wait_for(lambda: psutil.STATUS_ZOMBIE not in {p.status() for p in node.descendants()}, "no zombies")


def test_it_holds_no_descriptor_but_those_to_its_agent(node: NodeProcess) -> None:
    body = """
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try: found.add(os.readlink("/proc/self/fd/" + name).partition(":")[0])
        except OSError: pass
    return sorted(name for name in found if not name.startswith("/proc/"))  # the listing itself
    """
    assert set(answer(node, "descriptors", body)) <= {"/dev/null", "/null", "pipe", "socket"}


def test_siblings_and_templates_cannot_be_looked_into(node: NodeProcess) -> None:
    sibling = deploy(node, "sibling", "return os.getpid()", env={"TOKEN": "of-the-sibling"})
    node.call(sibling, {})
    others = [process.pid for process in node.descendants()]
    body = f"""
    found = []
    for pid in {others}:
        for file in ("environ", "mem", "maps", "fd"):
            path = f"/proc/{{pid}}/{{file}}"
            try:
                entries = os.listdir(path) if file == "fd" else ()
                found.append([os.readlink(f"{{path}}/{{fd}}") for fd in entries] or open(path, "rb").read(9).hex())
            except OSError: pass
    return json.dumps(found)
    """
    assert len(others) >= 3  # zygote, template and sibling
    assert json.loads(answer(node, "looking", body)) == []


@needs_strict
def test_at_strict_it_finds_nothing_of_the_node(strict_node: NodeProcess) -> None:
    node = strict_node
    assert node.process is not None
    data = str(node.data_dir)
    other = deploy(node, "other", "return 1")
    node.call(other, {})
    body = f"""
    def there(path):
        try: return os.listdir(path) if os.path.isdir(path) else open(path).read()
        except OSError as error: return error.errno
    return json.dumps([
        there("/proc/{node.process.pid}/environ"), there({data + "/checkpoints"!r}), there({data + "/worker.log"!r}),
        there({data + "/bundles/" + other.id!r}), [n for n in os.listdir("/proc") if n.isdigit()],
        len(os.listdir({data + "/bundles"!r})), os.getpid(), "QUICKTHAW_REDIS_URL" in os.environ,
    ])
    """
    worker, checkpoints, log, bundle, processes, bundles, pid, environment = json.loads(answer(node, "nosy", body))
    assert (worker, log, bundle) == (2, 2, 2)
    assert len(checkpoints) == 1  # the folder of its own
    assert (processes, bundles, pid, environment) == (["1"], 1, 1, False)


@needs_strict
def test_at_strict_neither_its_own_code_nor_python_can_be_changed(strict_node: NodeProcess) -> None:
    version = deploy(
        strict_node,
        "rewriting",
        """
        refused = []
        for path in (__file__, os.path.dirname(__file__) + "/new.py", os.__file__, "/usr/bin/env"):
            try: open(path, "a")
            except OSError as error: refused.append(error.errno)
        open("scratch", "w").write("mine")
        return json.dumps([refused, os.path.exists("scratch"), os.getcwd() != os.path.dirname(__file__)])
        """,
    )
    refused, written, elsewhere = json.loads(str(strict_node.call(version, {}).result))
    assert (len(refused), set(refused) <= {13, 30}, written, elsewhere) == (4, True, True, True)


@needs_strict
def test_at_strict_a_full_disk_is_its_own(strict_node: NodeProcess) -> None:
    body = """
    try:
        with open("filled", "wb") as file:
            while True: file.write(b"x" * 65536)
    except OSError as error: return error.errno
    """
    assert answer(strict_node, "filling", body) in (27, 28)


@needs_strict
def test_at_strict_signals_reach_nobody(strict_node: NodeProcess) -> None:
    bystander = deploy(strict_node, "bystander", "return os.getpid()")
    strict_node.call(bystander, {})
    before = strict_node.pids()
    assert strict_node.process is not None
    body = f"""
    import signal
    for pid in (-1, 0, {strict_node.process.pid}, {before["qt-template"][0]}, {before["qt-instance"][0]}):
        try: os.kill(pid, signal.SIGKILL)
        except ProcessLookupError: pass
    return "alive"
    """
    assert answer(strict_node, "killing", body) == "alive"
    assert set(before["qt-instance"]) <= set(strict_node.pids()["qt-instance"])
    assert before["qt-template"] == strict_node.pids()["qt-template"]


@pytest.mark.parametrize(("network", "reached"), [("none", False), ("host", True)], ids=["none", "host"])
def test_the_network_is_what_a_function_asks_for(node: NodeProcess, network: str, reached: bool) -> None:
    port = node.redis.connection_pool.connection_kwargs["port"]
    body = f"""
    import socket
    try: return bool(socket.create_connection(("127.0.0.1", {port}), timeout=5))
    except OSError: return False
    """
    assert answer(node, f"network-{network}", body, network=network) is reached


@pytest.mark.parametrize("asked", [{"isolation": "strict"}, {"network": "egress"}], ids=["isolation", "egress"])
def test_more_than_a_node_gives_is_refused_with_the_reason(process_node: NodeProcess, asked: dict[str, str]) -> None:
    version = deploy(process_node, "demanding", "return 1", **asked)
    info = process_node.call(version, {})
    assert info.error is not None
    assert "isolation `strict` is demanded, and this node gives `process`" in info.error["message"]


def test_a_function_is_not_started_at_less_than_what_is_set(tmp_path: Path) -> None:
    """A setting that cannot be kept is an error of each start, not a weaker start."""
    with running_node(tmp_path, isolation="none") as node:
        assert node.redis.hget("qt:node:n1", "isolation") == "none"
        info = node.call(deploy(node, "offline", "return 1", network="none"), {})
        assert info.error is not None
        assert "isolation `process` is demanded" in info.error["message"]
