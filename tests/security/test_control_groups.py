"""An instance's control group with the real kernel: all that it started is in it, and nothing of it outlives it.

Limits of memory, processes and processor time are tried where the kernel offers these controllers below this process'
own group; elsewhere tests/unit/control_groups says what is written for them.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from quickthaw.types import Isolation
from quickthaw_platform.cage.probing import probe
from quickthaw_platform.control_groups import delegation
from quickthaw_platform.control_groups.group import PREFIX, Group, end_abandoned
from quickthaw_platform.worker import forking
from tests.integration.worker.node_process import NodeProcess, running_node
from tests.integration.worker.worker_process import wait_for
from tests.security import grouped
from tests.security.in_group import found_by

STRICT, PROCESS, NONE = Isolation.STRICT, Isolation.PROCESS, Isolation.NONE
ORDINARY_USER = 65533
GRANT = probe(None, forking.fork)
OWN = delegation.look()

pytestmark = pytest.mark.skipif(OWN.folder is None, reason=f"no control group is delegated here: {OWN.why}")
needs_strict = pytest.mark.skipif(GRANT.level is not STRICT, reason=f"no strict isolation here: {GRANT.why}")


@pytest.fixture
def group() -> Iterator[Path]:
    """Give the folder of a group that is removed with all that is below it."""
    assert OWN.folder is not None
    made = Path(tempfile.mkdtemp(prefix="quickthaw-test-", dir=OWN.folder))
    yield made
    assert Group(made).end()


@pytest.fixture(params=[0, ORDINARY_USER], ids=["own", "ordinary"])
def user(request: pytest.FixtureRequest, group: Path) -> int:
    """Delegate the group to root, or to an ordinary user as systemd does."""
    found: int = request.param
    if found and os.geteuid() != 0:
        pytest.skip("only root can become another user")
    for path in (group, group / "cgroup.procs", group / "cgroup.subtree_control"):
        os.chown(path, found or os.geteuid(), -1)
    return found


@pytest.fixture
def workdir() -> Iterator[Path]:
    """Give a folder that an ordinary user can get to, as pytest's own are not."""
    with tempfile.TemporaryDirectory(prefix="quickthaw-grouped-") as made:
        Path(made).chmod(0o755)
        yield Path(made) / "workdir"


@pytest.mark.parametrize(
    ("level", "left"),
    [pytest.param(STRICT, 0, marks=needs_strict), (PROCESS, 1), (NONE, 1)],
    ids=["strict", "process", "none"],
)
def test_what_was_forked_twice_ends_with_its_instances_group(
    level: Isolation, left: int, user: int, group: Path, workdir: Path
) -> None:
    found = found_by(grouped.__name__, group, level, user, workdir)
    assert found["joined"].endswith(f"{group.name}/{PREFIX}i-1")
    assert found["left"] == left  # at strict the pid namespace has ended it already
    assert found["gone"]


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", str(grouped.SECONDS)]) as process:
        yield process
        process.kill()


def test_a_worker_that_was_killed_leaves_groups_that_the_next_one_ends(
    group: Path, sleeper: subprocess.Popen[bytes]
) -> None:
    made = Group.make(group, "i-1", {}, None)
    (made.folder / "cgroup.procs").write_text(str(sleeper.pid))
    assert end_abandoned(group) == []  # its maker lives
    os.close(made._held)  # as when that is killed
    assert end_abandoned(group) == [made.folder]
    assert sleeper.wait() == -signal.SIGKILL
    assert not made.folder.exists()


def test_groups_that_a_function_made_below_its_own_end_with_it(group: Path, sleeper: subprocess.Popen[bytes]) -> None:
    made = Group.make(group, "i-1", {}, None)
    below = made.folder / "one" / "two"
    below.mkdir(parents=True)
    (below / "cgroup.procs").write_text(str(sleeper.pid))
    assert made.end()
    assert sleeper.wait() == -signal.SIGKILL
    assert not made.folder.exists()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    with running_node(tmp_path_factory.mktemp("grouped"), isolation="none") as worker:
        yield worker


DAEMON = f"""
import os
def handle(model):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execv("/bin/sleep", ["sleep", "{grouped.SECONDS}"])
        os._exit(0)
    os.wait()
    return open("/proc/self/cgroup").read().splitlines()[-1].rpartition("/")[2]
"""


def test_without_a_cage_all_that_a_function_started_ends_with_its_instance(node: NodeProcess) -> None:
    assert OWN.folder is not None
    version = node.deploy("daemon", DAEMON)
    name = node.call(version, {}).result
    assert isinstance(name, str)
    assert name.startswith(PREFIX)
    processes = OWN.folder / name / "cgroup.procs"
    wait_for(lambda: len(processes.read_text().split()) == 2, "the instance and what it left")
    for view in node.slots.instances(version=version.id):
        node.commands.stop("n1", view.id)
    wait_for(lambda: not processes.exists(), "the end of the group, which takes that of its processes")


def test_a_node_says_what_it_bounds_and_why_not_more(node: NodeProcess) -> None:
    told = node.redis.hgetall("qt:node:n1")
    assert (told["control_groups"] == '["cpu", "memory", "pids"]') is (told["not_bounded"] == "")
