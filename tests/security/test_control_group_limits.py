"""An instance's limits as a whole, kept by the real kernel. `make test-control-groups` brings one that can.

They need the controllers of cgroup v2, delegated to this process: elsewhere everything here is skipped.
"""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from quickthaw.types import Isolation
from quickthaw_platform.cage.probing import probe
from quickthaw_platform.control_groups.group import Group
from quickthaw_platform.worker import forking
from tests.security import bounded
from tests.security.delegated import needs_all_controllers, taken
from tests.security.in_group import found_by

ORDINARY_USER = 65533
GRANT = probe(None, forking.fork)

pytestmark = needs_all_controllers


@pytest.fixture(scope="module", params=[0, ORDINARY_USER], ids=["own", "ordinary"])
def user(request: pytest.FixtureRequest) -> int:
    found: int = request.param
    if found and os.geteuid() != 0:
        pytest.skip("only root can become another user")
    return found


@pytest.fixture(scope="module", params=Isolation, ids=[level.value for level in Isolation])
def became(request: pytest.FixtureRequest, user: int) -> Iterator[dict[str, Any]]:
    """Run the instances below a group that is delegated as systemd does it."""
    if request.param is Isolation.STRICT and GRANT.level is not Isolation.STRICT:
        pytest.skip(f"no strict isolation here: {GRANT.why}")
    group = Path(tempfile.mkdtemp(prefix="quickthaw-test-", dir=taken()))
    for path in (group, group / "cgroup.procs", group / "cgroup.subtree_control"):
        os.chown(path, user or os.geteuid(), -1)
    with tempfile.TemporaryDirectory(prefix="quickthaw-bounded-") as made:
        Path(made).chmod(0o755)
        yield found_by(bounded.__name__, group, request.param, user, Path(made) / "workdir")
    assert Group(group).end()


def test_one_that_takes_too_much_memory_dies_with_all_that_it_forked_and_alone(became: dict[str, Any]) -> None:
    assert became["memory"] == {"status": -signal.SIGKILL, "told": True, "gone": True, "bystander": "lives"}


def test_one_that_forks_for_ever_is_refused_at_its_limit_and_harms_nobody(became: dict[str, Any]) -> None:
    refusals = ["BlockingIOError"] * bounded.TASKS  # which is EAGAIN, once in each of its processes
    assert became["tasks"] == {"refusals": refusals, "there": bounded.TASKS, "bystander": "lives", "gone": True}


def test_two_that_compute_share_the_processor_by_their_weights(became: dict[str, Any]) -> None:
    light, heavy = became["shares"]["used"]
    assert heavy / light == pytest.approx(3.0, rel=0.15)
    assert became["shares"]["gone"]


def test_no_group_is_left_of_any(became: dict[str, Any]) -> None:
    assert became["left"] == []
