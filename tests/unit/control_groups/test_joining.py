"""How a child is held up until it is in its group, on a made tree."""

from __future__ import annotations

from pathlib import Path

import pytest

from quickthaw.errors import StartFailed
from quickthaw_platform.control_groups.joining import Joining, JoinOrder, own_bytes

STATUS = "Name:\tpython\nVmData:\t 9000 kB\nRssAnon:\t    2048 kB\nRssFile:\t 512 kB\n"


def test_what_a_template_holds_is_what_its_fork_can_come_to_copy() -> None:
    assert own_bytes(STATUS) == 2 << 20


def test_a_child_goes_on_when_it_was_moved_below_its_limit(tmp_path: Path) -> None:
    joining = Joining(JoinOrder(str(tmp_path), 1 << 30).frame())
    joining.move(4711)
    joining.wait()
    assert (tmp_path / "cgroup.procs").read_text() == "4711"
    assert int((tmp_path / "memory.max").read_text()) > 1 << 30


def test_without_a_limit_of_memory_none_is_written(tmp_path: Path) -> None:
    joining = Joining(JoinOrder(str(tmp_path), None).frame())
    joining.move(4711)
    joining.wait()
    assert not (tmp_path / "memory.max").exists()


def test_a_child_that_could_not_be_moved_does_not_go_on(tmp_path: Path) -> None:
    joining = Joining(JoinOrder(str(tmp_path / "gone"), None).frame())
    joining.move(4711)
    with pytest.raises(StartFailed, match="control group could not be joined"):
        joining.wait()


def test_without_a_group_nobody_waits() -> None:
    joining = Joining(None)
    joining.move(4711)
    joining.wait()
    joining.close()
    assert joining.kept == frozenset()
