from __future__ import annotations

import errno
from pathlib import Path

import pytest

from quickthaw_platform.checkpoints.remote.directory import DirectoryStore
from quickthaw_platform.checkpoints.store import DiskStore
from quickthaw_platform.checkpoints.tiers.bandwidth import ASSUMED_BYTES_PER_SECOND, Bandwidths
from quickthaw_platform.errors import RemoteUnavailable
from quickthaw_platform.settings import Settings
from quickthaw_platform.worker import probe
from tests.acceptance.echo_models import write_echo_model

MB = 1_000_000


def probed(tmp_path: Path, **settings: object) -> dict[str, float]:
    full = Settings.model_validate({"data_dir": tmp_path / "data", "node": "n1", **settings})
    bandwidths = Bandwidths()
    probe.probe_tiers(full, DiskStore(full.checkpoints_dir), bandwidths)
    return bandwidths.measured()


def test_memory_and_disk_are_measured_and_nothing_is_left_behind(tmp_path: Path) -> None:
    found = probed(tmp_path)
    assert set(found) == {"dram", "disk"}
    assert list((tmp_path / "data" / "checkpoints").iterdir()) == []


def test_a_checkpoint_that_is_there_is_read_and_nothing_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "_write", lambda path: pytest.fail(f"{path} was written"))
    write_echo_model(tmp_path / "data" / "checkpoints", "m")
    assert probed(tmp_path)["disk"] > 0


def test_a_tier_is_no_faster_than_the_settings_let_it_be(tmp_path: Path) -> None:
    beyond = tmp_path / "beyond"
    beyond.mkdir()
    (beyond / "weights").write_bytes(bytes(2 * probe.ENOUGH_BYTES))
    found = probed(tmp_path, disk_bandwidth=5 * MB, remote=str(beyond), remote_bandwidth=3 * MB)
    assert (found["disk"], found["remote"]) == (5 * MB, 3 * MB)


def test_a_limit_holds_where_there_is_nothing_to_measure(tmp_path: Path) -> None:
    (tmp_path / "beyond").mkdir()
    assert "remote" not in probed(tmp_path, remote=str(tmp_path / "beyond"))
    assert probed(tmp_path, remote=str(tmp_path / "beyond"), remote_bandwidth=3 * MB)["remote"] == 3 * MB
    fast = 1000 * int(ASSUMED_BYTES_PER_SECOND["remote"])
    found = probed(tmp_path, remote=str(tmp_path / "beyond"), remote_bandwidth=fast)
    assert found["remote"] == ASSUMED_BYTES_PER_SECOND["remote"]


def test_the_remote_tier_is_measured_by_its_largest_object(tmp_path: Path) -> None:
    (tmp_path / "small").write_bytes(b"x")
    assert probe.remote_speed(str(tmp_path)) is None
    (tmp_path / "large").write_bytes(bytes(2 * probe.ENOUGH_BYTES))
    speed = probe.remote_speed(str(tmp_path))
    assert speed is not None
    assert speed > 0


def test_a_transfer_that_takes_too_long_is_cut_off_and_still_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "large").write_bytes(bytes(2 * probe.ENOUGH_BYTES))
    monkeypatch.setattr(probe, "REMOTE_SECONDS", -1.0)
    assert probe.remote_speed(str(tmp_path)) is not None


def test_a_disk_that_runs_full_under_the_probe_is_told_as_that() -> None:
    def write(_piece: memoryview) -> None:  # the error holds the piece for as long as somebody holds the error
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left"), probe._buffer(4096) as buffer:
        write(buffer[:100])


def test_a_tier_that_cannot_be_probed_keeps_what_is_assumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unavailable(*_: object) -> None:
        raise RemoteUnavailable("the network is down")

    def full(_: Path) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(DirectoryStore, "list", unavailable)
    monkeypatch.setattr(probe, "_write", full)
    found = probed(tmp_path, remote=str(tmp_path))
    assert set(found) == {"dram"}
    assert list((tmp_path / "data" / "checkpoints").iterdir()) == []
