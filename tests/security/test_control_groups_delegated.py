"""What a platform takes of its control group from the real kernel, and what `ps` and `doctor` say of it.

`make test-control-groups` runs this below a kernel that has the controllers; elsewhere it is skipped.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from quickthaw_platform.control_groups.delegation import OWN, WANTED
from quickthaw_platform.control_groups.group import Group
from tests.integration.commands.test_up import LIGHT, QUICKTHAW, Up
from tests.security.delegated import needs_all_controllers, taken

pytestmark = [needs_all_controllers, pytest.mark.timeout(300)]

TAKE = """
import json
from quickthaw_platform.control_groups import delegation
foreseen = delegation.foreseen(delegation.look())
found = delegation.take(delegation.look())
own = open("/proc/self/cgroup").read().strip()
print(json.dumps({"controllers": found.controllers, "why": found.why, "own": own, "foreseen": foreseen.controllers}))
"""


@pytest.fixture
def group() -> Iterator[Path]:
    """Give the folder of a group that has all controllers; it is removed with all that is in it."""
    made = Path(tempfile.mkdtemp(prefix="quickthaw-test-", dir=taken()))
    yield made
    assert Group(made).end()


def joining(folder: Path) -> Callable[[], object]:
    """Return what a new process does to begin in a group."""
    return lambda: (folder / "cgroup.procs").write_text("0")


def take_in(folder: Path) -> dict[str, object]:
    """Have a process take what it may of its group, as it foresaw; return what it found, and where it is then."""
    command = [sys.executable, "-c", TAKE]
    done = subprocess.run(command, preexec_fn=joining(folder), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    assert found["foreseen"] == found["controllers"]
    return found


def test_a_process_alone_in_its_group_hands_all_on_and_makes_way_for_that(group: Path) -> None:
    found = take_in(group)
    assert (found["controllers"], found["why"]) == (list(WANTED), "")
    assert str(found["own"]).endswith(f"/{group.name}/{OWN}")
    assert (group / "cgroup.subtree_control").read_text().split() == list(WANTED)


def test_another_process_in_the_group_is_what_stands_against_it(group: Path) -> None:
    with subprocess.Popen(["sleep", "600"], preexec_fn=joining(group)) as stranger:
        try:
            found = take_in(group)
        finally:
            stranger.kill()
    assert found["controllers"] == []
    assert f"other processes are in {group}" in str(found["why"])
    assert str(found["own"]).endswith(f"/{group.name}")  # it went back
    assert not (group / OWN).exists()


def test_controllers_that_are_not_handed_down_are_named(group: Path) -> None:
    (group / "cgroup.subtree_control").write_text("+pids")
    below = group / "below"
    below.mkdir()
    found = take_in(below)
    assert found["controllers"] == ["pids"]
    assert f"{below} has no controller cpu, memory" in str(found["why"])


def test_up_bounds_its_instances_and_ps_and_doctor_say_so(group: Path, tmp_path: Path) -> None:
    up = Up(tmp_path / "data", joining(group), **LIGHT)
    try:
        with up.wait_until_up() as client:
            (node,) = client.nodes()
        assert (node.control_groups, node.not_bounded) == (WANTED, "")
        shown = subprocess.run([QUICKTHAW, "ps"], env=up.environment, capture_output=True, text=True, check=True)
        assert "bounds in control groups" not in shown.stderr
        checked = subprocess.run(
            [QUICKTHAW, "doctor", "--json"], env=up.environment, preexec_fn=joining(group / OWN),
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        (finding,) = [found for found in json.loads(checked.stdout) if found["subject"] == "control groups"]
        assert finding["found"] == "a worker started from here bounds cpu, memory, pids of an instance as a whole"
    finally:
        up.popen.terminate()
        up.popen.wait()
