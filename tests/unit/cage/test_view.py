"""What an instance is shown of the file system."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from quickthaw_platform.cage import view
from quickthaw_platform.cage.entering import FIRST_USER, NOBODY, another_user


@pytest.fixture(autouse=True)
def anew() -> Iterator[None]:
    """Have what all instances see found out anew, and not kept for other tests."""
    view.common.cache_clear()
    yield
    view.common.cache_clear()


def test_of_nested_folders_the_outermost_is_shown() -> None:
    assert view.outermost(["/usr/lib", "/usr", "/usrlocal", "/opt/a", "/opt/a/b"]) == ["/opt/a", "/usr", "/usrlocal"]


@pytest.mark.parametrize(
    ("path", "folder", "within"),
    [("/a/b", "/a", True), ("/a", "/a", True), ("/ab", "/a", False), ("/a", "/a/b", False)],
    ids=["inside", "itself", "a longer name", "above"],
)
def test_what_lies_in_a_folder(path: str, folder: str, within: bool) -> None:
    assert view.is_within(path, folder) is within


def test_python_and_our_packages_are_shown_and_accounts_are_not() -> None:
    found = view.common(gpu=False)
    assert view.is_seen(sys.prefix, found.shown, ())
    assert view.is_seen(str(Path(view.__file__).parent), found.shown, ())
    assert not view.is_seen("/etc/passwd", (*found.shown, *found.copied), ())
    assert not view.is_seen("/proc", found.shown, ())


def test_the_folder_that_a_worker_was_started_in_is_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])  # as `python -m` does
    assert not view.is_seen(str(tmp_path), view.common(gpu=False).shown, ())


def test_data_within_a_folder_that_is_shown_is_hidden_but_for_the_instances_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library, data = tmp_path / "library", tmp_path / "library" / "data"
    own = data / "bundles" / "mine"
    own.mkdir(parents=True)
    monkeypatch.setattr(sys, "path", [str(library), *sys.path])
    found = view.of_instance([str(own)], [str(data)], gpu=False)
    assert str(library) in found.common.shown
    assert found.hidden == (str(data),)
    assert found.own == (str(own),)


def test_what_is_not_there_is_left_out(tmp_path: Path) -> None:
    assert view.of_instance([str(tmp_path / "none")], [str(tmp_path / "nor")], gpu=False).own == ()


def test_a_user_of_its_own_where_there_are_many_else_nobody_else_the_workers() -> None:
    assert another_user(7, "         0          0 4294967295\n") == FIRST_USER + 7
    assert another_user(7, "0 100000 65536\n") == NOBODY
    assert another_user(7, "1000 1000 1\n") is None
