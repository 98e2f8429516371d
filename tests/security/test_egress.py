"""A function with network `egress` reaches what it may through the proxy of its node, and nothing past it."""

from __future__ import annotations

import contextlib
import json
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from quickthaw.types import InvocationState, Isolation
from quickthaw_platform.cage.probing import probe
from quickthaw_platform.setting_values.networks import read_networks
from quickthaw_platform.worker import forking
from tests.integration.worker.node_process import NodeProcess, running_node
from tests.integration.worker.worker_process import wait_for
from tests.security.answering_server import LOOPBACK, serving

GRANT = probe(None, forking.fork)


@pytest.fixture(scope="module")
def server() -> Iterator[int]:
    with serving() as port:
        yield port


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    if GRANT.level is not Isolation.STRICT:
        pytest.skip(f"no strict isolation here: {GRANT.why}")
    with running_node(
        tmp_path_factory.mktemp("egress"), isolation="strict", egress_allow=read_networks(f"{LOOPBACK},::1")
    ) as worker:
        yield worker


def answer(node: NodeProcess, name: str, body: str, egress: list[str]) -> Any:
    """Return what a function's code says in `found`."""
    code = "import json, os, socket\nimport httpx\n\ndef handle(model, **input):\n    found = []\n"
    code += textwrap.indent(textwrap.dedent(body), "    ") + "    return json.dumps(found)\n"
    info = node.call(node.deploy(name, code, network="egress", egress=egress), {})
    assert info.state is InvocationState.SUCCEEDED, info.error
    return json.loads(str(info.result))


GET = """
import urllib.request
def get(url):
    try: return httpx.get(url, timeout=30).text.strip()
    except httpx.HTTPError as error: return str(error)
"""


def test_a_function_reaches_what_it_lists_by_clients_as_they_are(node: NodeProcess, server: int) -> None:
    url = f"http://localhost.:{server}"
    body = GET + f"found += [get('{url}/a'), urllib.request.urlopen('{url}/b').read().decode().strip()]\n"
    assert answer(node, "listed", body, [f"localhost:{server}"]) == [
        f"GET /a localhost:{server}", f"GET /b localhost:{server}",
    ]  # fmt: skip


def test_a_function_reaches_nothing_past_the_proxy(node: NodeProcess, server: int) -> None:
    body = f"""
    for address in (("127.0.0.1", {server}), ("192.0.2.1", 80), ("2001:db8::1", 80)):
        try: found.append(bool(socket.create_connection(address, timeout=5)))
        except OSError as error: found.append(error.errno)
    try: socket.getaddrinfo("example.com", 80)
    except socket.gaierror: found.append("no names")
    """
    refused, *unreachable = answer(node, "past", body, [f"localhost:{server}"])
    assert refused == 111  # its own loopback, where nobody listens
    assert unreachable == [101, 101, "no names"]


def test_a_function_is_told_why_a_host_is_refused(node: NodeProcess, server: int) -> None:
    body = (
        GET
        + f"""
found += map(get, (
    "http://127.0.0.1:{server}/", "https://other.test/", "http://169.254.169.254/latest/meta-data/", "https://10.0.0.1/",
))
"""
    )
    listed = ["localhost", "169.254.0.0/16", "10.0.0.0/8"]
    own, other, metadata, private = answer(node, "refused", body, listed)
    assert own == "" or "Connection refused" in own  # NO_PROXY: its own loopback
    assert other == "403 other.test:443 is not in `egress` of the function: list it there as other.test"
    assert "169.254.169.254 is 169.254.169.254, which is not public" in metadata
    assert private.startswith("403 10.0.0.1 is 10.0.0.1, which is not public")
    assert '"host": "other.test:443"' in node.log()


def test_a_proxy_that_dies_is_replaced_and_nothing_of_it_outlives_instances(node: NodeProcess, server: int) -> None:
    body = GET + f"found.append(get('http://localhost.:{server}/'))\n"
    said = [f"GET / localhost:{server}"]
    assert answer(node, "dying", body, [f"localhost:{server}"]) == said
    (pid,) = node.pids()["qt-egress"]
    psutil.Process(pid).kill()
    assert answer(node, "dying", body, [f"localhost:{server}"]) == said  # it waits for the next one
    worker, proxy = node.process, node.pids()["qt-egress"][0]
    assert worker is not None
    assert sockets_inside(worker.pid)
    assert sockets_inside(proxy)
    for view in node.slots.instances():
        node.commands.stop("n1", view.id)
    wait_for(lambda: not node.slots.instances(), "the end of the instances")
    wait_for(lambda: not sockets_inside(worker.pid) | sockets_inside(proxy), "the end of their sockets")
    assert psutil.Process(proxy).net_connections() == []


def sockets_inside(pid: int) -> set[str]:
    """Return the sockets of a process that are in the network of an instance: this one's does not list them."""
    held = set()
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            held |= set(re.findall(r"socket:.(\d+)", str(fd.readlink())))
    tables = ("tcp", "tcp6", "udp", "udp6", "unix", "netlink", "packet")
    listed = " ".join(Path(f"/proc/self/net/{name}").read_text() for name in tables)
    return held - set(listed.split())
