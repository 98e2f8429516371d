from __future__ import annotations

from pathlib import Path

import pytest

from quickthaw_platform.checkpoints.remote.directory import DirectoryStore
from quickthaw_platform.errors import RemoteMissing, RemoteUnavailable


def test_a_file_that_is_being_written_is_no_object_yet(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / ".partial-x").write_bytes(b"half")
    assert DirectoryStore(tmp_path).list() == []


def test_a_put_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "store")
    before = store.put("a/x", b"old")
    with pytest.raises(IsADirectoryError):
        store.put("a/x", tmp_path)
    (tmp_path / "store" / "a" / "y").mkdir()
    with pytest.raises(RemoteUnavailable, match="a/y"):
        store.put("a/y", b"new")
    assert store.list() == [before]
    assert sorted(path.name for path in (tmp_path / "store" / "a").iterdir()) == ["x", "y"]


def test_a_link_to_nowhere_is_no_object(tmp_path: Path) -> None:
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    assert DirectoryStore(tmp_path).list() == []


def test_a_file_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(RemoteMissing, match="file"):
        DirectoryStore(tmp_path / "file").list()


def test_an_object_that_ends_before_the_range_is_said_to(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    found = store.put("x", b"abc")
    with pytest.raises(RemoteUnavailable, match="x ends at byte 3"):
        store.get_range(found, 1, memoryview(bytearray(3)), lambda: False)
