"""What a worker does with functions that take more than they may as a whole, and says of it.

`make test-control-groups` runs this below a kernel that has the controllers; elsewhere it is skipped.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from quickthaw.types import InvocationInfo, InvocationState
from quickthaw_platform.control_groups.group import PREFIX
from tests.integration.worker.node_process import NodeProcess, running_node
from tests.integration.worker.worker_process import NODE, wait_for
from tests.security.delegated import needs_all_controllers, taken

pytestmark = needs_all_controllers

SLOW = {"token_delay": "20ms"}
SCRATCH_BYTES = 4 << 20
MEMORY = "64MiB"

GREEDY = """
import os, signal

def take(parts):
    for _ in range(parts):  # each within what one process may have, all of them not
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                held = b"x" * (32 << 20)
            signal.pause()
    signal.pause()
"""
IN_ITS_HANDLER = f"{GREEDY}\ndef handle(model, parts):\n    take(parts)\n"
WHILE_IT_STARTS = f"{GREEDY}\ntake(12)\n\ndef handle(model):\n    return 'never'\n"
WORDS = "was killed for taking, with all its processes together, more than its function's `memory` (raise that)"

FORKING = """
import subprocess

def handle(model):
    shell = ["/bin/sh", "-c", "while :; do sleep 600 >/dev/null 2>&1 & done"]
    return subprocess.run(shell, capture_output=True, text=True).stderr
"""

COMPUTING = """
def handle(model):
    while True:
        pass
"""

LEAVING = """
import os, signal

def handle(model):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            signal.pause()
        os._exit(0)
    os.wait()
    return "left"
"""


@pytest.fixture(scope="module", params=["strict", "none"])
def node(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    taken()
    folder = tmp_path_factory.mktemp(request.param)
    with running_node(folder, isolation=request.param, scratch=SCRATCH_BYTES, node_memory=16 << 30) as worker:
        yield worker


def groups(node: NodeProcess, function: str) -> list[Path]:
    """Return the groups of a function's instances that there are."""
    return list(taken().glob(f"{PREFIX}{function}-*"))


def message(info: InvocationInfo) -> str:
    assert info.state == InvocationState.FAILED
    assert info.error is not None
    return str(info.error["message"])


@pytest.fixture
def bystander(node: NodeProcess) -> Iterator[None]:
    """Have a stream on another instance meanwhile, which ends well, and in the same process."""
    version = node.deploy("bystander", options=SLOW)
    if not node.slots.instances(version=version.id):
        node.ready(version)
    (instance,) = node.slots.instances(version=version.id)
    identity = node.invoke(version, {"prompt": "x" * 100})
    assert node.process is not None
    yield
    assert node.ended(identity).result == "x" * 100
    assert [view.id for view in node.slots.instances(version=version.id)] == [instance.id]
    assert node.process.poll() is None


def test_an_instance_that_takes_too_much_memory_ends_alone_and_its_call_says_why(
    node: NodeProcess, bystander: None
) -> None:
    version = node.deploy("greedy", IN_ITS_HANDLER, memory=MEMORY)
    identity = node.invoke(version, {"parts": 12})
    wait_for(lambda: WORDS in (node.store.get(identity).reason or ""), "its end")
    wait_for(lambda: any(WORDS in row["line"] for row in node.logs("greedy")), "the line in its log")
    node.start_instance(version)  # it is tried twice
    assert WORDS in message(node.ended(identity))
    wait_for(lambda: not groups(node, "greedy"), "the end of its group")


def test_a_call_that_must_not_be_run_again_ends_with_the_memory_that_it_took(
    node: NodeProcess, bystander: None
) -> None:
    version = node.deploy("greedy-once", IN_ITS_HANDLER, memory=MEMORY, resumable=False)
    ended = node.call(version, {"parts": 12})
    assert WORDS in message(ended)
    assert ended.attempts == 1


def test_one_that_takes_too_much_while_it_starts_is_not_started_again(node: NodeProcess, bystander: None) -> None:
    version = node.deploy("greedy-start", WHILE_IT_STARTS, memory=MEMORY)
    assert f"the instance's process {WORDS}" in message(node.call(version, {}))
    wait_for(lambda: not groups(node, "greedy-start"), "the end of its group")


def test_an_instance_that_forks_for_ever_is_refused_and_the_others_go_on(node: NodeProcess, bystander: None) -> None:
    version = node.deploy("forking", FORKING)
    result = node.call(version, {}).result
    assert isinstance(result, str)
    assert "Cannot fork" in result
    (group,) = groups(node, "forking")
    most = int((group / "pids.max").read_text())
    assert most - 2 <= len((group / "cgroup.threads").read_text().split()) <= most  # a shell has given up since
    for view in node.slots.instances(version=version.id):
        node.commands.stop(NODE, view.id)
    wait_for(lambda: not groups(node, "forking"), "the end of its group")


def test_processor_time_goes_by_the_functions_weights(node: NodeProcess) -> None:
    versions = [node.deploy(f"weighs-{weight}", COMPUTING, weight=weight) for weight in (1, 3)]
    calls = [node.invoke(version, {}) for version in versions]
    both = [wait_for(partial(groups, node, version.function), "its group")[0] for version in versions]
    assert [(group / "cpu.weight").read_text().strip() for group in both] == ["100", "300"]
    for identity, version in zip(calls, versions, strict=True):
        node.store.cancel(identity, "enough")
        for view in node.slots.instances(version=version.id):
            node.commands.stop(NODE, view.id)
    wait_for(lambda: not any(group.exists() for group in both), "their end")


def test_what_a_killed_worker_leaves_is_ended_by_the_next(node: NodeProcess) -> None:
    version = node.deploy("leaving", LEAVING)
    assert node.call(version, {}).result == "left"
    (group,) = groups(node, "leaving")
    left = [psutil.Process(int(pid)) for pid in (group / "cgroup.procs").read_text().split()]
    assert len(left) > 1
    node.kill()
    node.redis.flushdb()
    node.start()
    assert not group.exists()
    assert not any(process.is_running() for process in left)


def test_a_node_says_that_it_bounds_all(node: NodeProcess) -> None:
    told = node.redis.hgetall(f"qt:node:{NODE}")
    assert (told["control_groups"], told["not_bounded"]) == ('["cpu", "memory", "pids"]', "")
