"""What the disk is told of the embedded Valkey's files, and what is said where it does not take them."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from redis.exceptions import ResponseError
from structlog.testing import capture_logs

from quickthaw_platform.commands.valkey_sync import ValkeySync, problem


class Disk:
    """Stands in for fdatasync: notes which files are synced, and fails where it is told to."""

    def __init__(self) -> None:
        self.synced: list[str] = []
        self.error: int | None = None

    def fdatasync(self, handle: int) -> None:
        if self.error is not None:
            raise OSError(self.error, os.strerror(self.error))
        self.synced.append(Path(f"/proc/self/fd/{handle}").readlink().name)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    """The disk of all files."""
    made = Disk()
    monkeypatch.setattr(os, "fdatasync", made.fdatasync)
    return made


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """The folder of the append-only files, as Valkey makes it."""
    folder = tmp_path / "appendonlydir"
    folder.mkdir()
    for name in ("a.1.base.rdb", "a.1.incr.aof", "a.manifest"):
        (folder / name).write_bytes(b"begun")
    return folder


def nothing() -> None:
    """Ask nobody to write anything anew."""


def append(file: Path) -> None:
    with file.open("ab") as opened:
        opened.write(b"more")


def test_only_what_grew_is_synced_and_only_what_is_appended_to(disk: Disk, files: Path, tmp_path: Path) -> None:
    sync = ValkeySync(tmp_path, nothing)
    sync.round()
    sync.round()
    assert disk.synced == ["a.1.incr.aof"]
    append(files / "a.1.incr.aof")
    append(files / "a.1.base.rdb")
    (files / "a.2.incr.aof").write_bytes(b"of a rewrite")
    sync.round()
    assert disk.synced == ["a.1.incr.aof", "a.1.incr.aof", "a.2.incr.aof"]


def test_before_there_are_files_nothing_is_wrong(disk: Disk, tmp_path: Path) -> None:
    ValkeySync(tmp_path, nothing).round()
    assert (disk.synced, problem(tmp_path)) == ([], None)


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC], ids=["EIO", "ENOSPC"])
def test_a_disk_that_refuses_is_told_of_until_the_files_are_written_anew(
    disk: Disk, files: Path, tmp_path: Path, error: int
) -> None:
    """A later success does not show that the disk has what it refused before."""
    asked: list[str] = []
    sync = ValkeySync(tmp_path, lambda: asked.append("rewrite"))
    disk.error = error
    with capture_logs() as log:
        sync.round()
        sync.round()
        disk.error = None
        sync.round()
    assert [line["log_level"] for line in log] == ["error"]
    assert log[0]["cause"] == problem(tmp_path) == f"a.1.incr.aof: {os.strerror(error)}"
    assert asked == ["rewrite"]  # and no second time at once
    with capture_logs() as log:
        (files / "a.1.incr.aof").rename(files / "a.2.incr.aof")
        sync.round()
    assert [line["log_level"] for line in log] == ["warning"]
    assert problem(tmp_path) is None


def test_what_failed_before_a_restart_still_counts(disk: Disk, files: Path, tmp_path: Path) -> None:
    disk.error = errno.EIO
    ValkeySync(tmp_path, nothing).round()
    disk.error = None
    asked: list[str] = []
    after = ValkeySync(tmp_path, lambda: asked.append("rewrite"))
    after.round()
    assert asked == ["rewrite"]
    assert problem(tmp_path) == f"a.1.incr.aof: {os.strerror(errno.EIO)}"
    (files / "a.1.incr.aof").unlink()
    after.round()
    assert problem(tmp_path) is None


def test_a_valkey_that_does_not_rewrite_and_a_file_that_cannot_be_kept_end_nothing(
    disk: Disk, files: Path, tmp_path: Path
) -> None:
    assert files.is_dir()
    (tmp_path / "sync.problem").mkdir()
    disk.error = errno.EIO

    def refuse() -> None:
        raise ResponseError("Background append only file rewriting already in progress")

    sync = ValkeySync(tmp_path, refuse)
    with capture_logs() as log:
        sync.round()
    assert [line["log_level"] for line in log] == ["error", "warning"]
    assert "already in progress" in log[1]["error"]


def test_a_file_that_a_rewrite_removes_meanwhile_is_no_problem(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = files / "a.1.incr.aof"
    look: Callable[[Path], os.stat_result] = Path.stat

    def remove_first(self: Path) -> os.stat_result:
        gone.unlink(missing_ok=True)
        return look(self)

    monkeypatch.setattr(Path, "stat", remove_first)
    ValkeySync(tmp_path, nothing).round()
    assert problem(tmp_path) is None
