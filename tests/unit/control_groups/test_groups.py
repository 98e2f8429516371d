"""Which instances get a group, on a made tree."""

from __future__ import annotations

from pathlib import Path

import pytest

from quickthaw_platform.control_groups.delegation import WANTED, Delegation
from quickthaw_platform.control_groups.group import PREFIX
from quickthaw_platform.control_groups.groups import ControlGroups
from quickthaw_platform.control_groups.limits import Limits

LIMITS = Limits(1 << 30, 560, 1.0)


def groups(folder: Path | None, *controllers: str) -> ControlGroups:
    made = ControlGroups()
    made.delegation = Delegation(folder, controllers)
    return made


def test_a_group_is_made_with_its_limits(tmp_path: Path) -> None:
    group = groups(tmp_path, *WANTED).make("i-1", LIMITS, ends_anyway=True)
    assert group is not None
    assert group.folder == tmp_path / f"{PREFIX}i-1"
    assert (group.folder / "pids.max").read_text() == "560"
    assert (group.folder / "memory.oom.group").read_text() == "1"
    assert not (group.folder / "memory.swap.max").exists()  # this kernel counts no swap
    assert group.order.memory_bytes == 1 << 30


def test_memory_that_is_not_bounded_here_is_not_ordered(tmp_path: Path) -> None:
    group = groups(tmp_path, "pids").make("i-1", LIMITS, ends_anyway=True)
    assert group is not None
    assert group.order.memory_bytes is None


def test_without_a_place_there_is_no_group() -> None:
    assert groups(None).make("i-1", LIMITS, ends_anyway=False) is None


@pytest.mark.parametrize("ends_anyway", [True, False], ids=["in a pid namespace", "without"])
def test_a_group_that_bounds_nothing_is_made_where_the_instance_would_leave_processes(
    tmp_path: Path, ends_anyway: bool
) -> None:
    group = groups(tmp_path).make("i-1", LIMITS, ends_anyway=ends_anyway)
    assert (group is None) is ends_anyway


def test_the_end_of_its_memory_is_read_of_its_events(tmp_path: Path) -> None:
    group = groups(tmp_path).make("i-1", LIMITS, ends_anyway=False)
    assert group is not None
    assert not group.ran_out_of_memory
    (group.folder / "memory.events").write_text("oom 1\noom_kill 1\n")
    assert group.ran_out_of_memory
