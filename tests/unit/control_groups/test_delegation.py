"""What a process takes of its group, on a made tree: where the kernel would refuse, the test does."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from quickthaw_platform.control_groups import delegation
from quickthaw_platform.control_groups.delegation import OWN, WANTED, Delegation


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """Return the folder of a group as systemd delegates it."""
    folder = tmp_path / "quickthaw-worker.service"
    folder.mkdir()
    (folder / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    for name in ("cgroup.procs", "cgroup.subtree_control"):
        (folder / name).write_text("")
    return folder


def refusing(
    monkeypatch: pytest.MonkeyPatch, unit: Path, code: int, *, until_alone: bool = False
) -> list[tuple[str, str]]:
    """Refuse to hand controllers on, for good or until the process has left the group; return what is written."""
    written: list[tuple[str, str]] = []

    def write(file: Path, text: str) -> None:
        left = any(name == f"{OWN}/cgroup.procs" for name, _text in written)
        written.append((str(file.relative_to(unit)), text))
        if file.name == "cgroup.subtree_control" and not (until_alone and left):
            raise OSError(code, "refused")

    monkeypatch.setattr(delegation, "_write", write)
    return written


def test_a_delegated_group_hands_its_controllers_on(unit: Path) -> None:
    found = delegation.below(unit)
    assert found == Delegation(unit, WANTED)
    assert delegation.take(found) == found
    assert (unit / "cgroup.subtree_control").read_text() == "+cpu +memory +pids"


def test_looking_changes_nothing(unit: Path) -> None:
    delegation.below(unit)
    assert (unit / "cgroup.subtree_control").read_text() == ""
    assert not (unit / OWN).exists()


def test_a_process_leaves_the_group_whose_controllers_it_hands_on(unit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = refusing(monkeypatch, unit, errno.EBUSY, until_alone=True)
    assert delegation.take(delegation.below(unit)).controllers == WANTED
    wanted = ("cgroup.subtree_control", "+cpu +memory +pids")
    assert written == [wanted, (f"{OWN}/cgroup.procs", "0"), wanted]


def test_a_process_that_has_left_it_already_hands_on_what_is_above_it(unit: Path) -> None:
    assert delegation.below(unit / OWN) == Delegation(unit, WANTED)


def test_with_strangers_in_the_group_nothing_is_bounded_and_the_process_goes_back(
    unit: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = refusing(monkeypatch, unit, errno.EBUSY)
    found = delegation.take(delegation.below(unit))
    assert (found.folder, found.controllers) == (unit, ())
    assert "other processes are in" in found.why
    assert "Delegate=cpu memory pids" in found.why
    assert written[-1] == ("cgroup.procs", "0")
    assert not (unit / OWN).exists()


@pytest.mark.parametrize(
    ("processes", "handed_on", "kind", "controllers"),
    [
        ("", "", "domain", WANTED),
        pytest.param(f"{os.getpid()}\n", "", "domain", WANTED, id="its place is another's then"),
        pytest.param(f"{os.getpid()}\n1\n", "", "domain", (), id="a shell beside it, say"),
        ("0\n", "", "domain", ()),  # of another name space
        ("1\n", "cpu memory pids", "domain", WANTED),  # they came before there was such a rule
        ("1\n", "cpu", "domain", ()),
        ("1\n", "", None, WANTED),  # the hierarchy's root, which may hold processes
    ],
)
def test_what_would_be_taken_is_foreseen_without_a_change(
    unit: Path, processes: str, handed_on: str, kind: str | None, controllers: tuple[str, ...]
) -> None:
    (unit / "cgroup.procs").write_text(processes)
    (unit / "cgroup.subtree_control").write_text(handed_on)
    if kind is not None:
        (unit / "cgroup.type").write_text(kind)
    found = delegation.foreseen(delegation.below(unit))
    assert (found.folder, found.controllers) == (unit, controllers)
    assert ("other processes are in" in found.why) is (controllers == ())
    assert (unit / "cgroup.subtree_control").read_text() == handed_on
    assert not (unit / OWN).exists()


def test_another_refusal_is_told(unit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refusing(monkeypatch, unit, errno.EPERM)
    found = delegation.take(delegation.below(unit))
    assert found.controllers == ()
    assert "refused" in found.why


def test_without_all_controllers_it_is_said_which_are_missing(unit: Path) -> None:
    (unit / "cgroup.controllers").write_text("cpu hugetlb\n")
    found = delegation.below(unit)
    assert (found.folder, found.controllers) == (unit, ("cpu",))
    assert "no controller memory, pids" in found.why
    assert "unified_cgroup_hierarchy=1" in found.why
    assert delegation.take(found) == found


def test_a_group_that_is_not_this_users_is_left_alone(unit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda path, _mode: Path(path).name != "cgroup.subtree_control")
    found = delegation.below(unit)
    assert (found.folder, found.controllers) == (None, ())
    assert "Delegate=cpu memory pids" in found.why
    assert "/sys/fs/cgroup writable" in found.why
