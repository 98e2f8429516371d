"""What a worker is refused for at its start: a disk that is not there, a device that torch cannot compute on."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from quickthaw_platform.commands import devices
from quickthaw_platform.commands.devices import TorchFacts, device_problem, require_device, torch_facts
from quickthaw_platform.commands.disks import LEAST_FILES, LEAST_MEBIBYTES, require_disk, require_room, unmounted
from quickthaw_platform.commands.workers import read_workers
from quickthaw_platform.errors import SettingsInvalid
from quickthaw_platform.settings import Settings

FSTAB = """
# a comment with /mnt/slow in it
UUID=1 / ext4 defaults 0 1
UUID=2 /mnt/slow ext4 defaults 0 2
UUID=3 /mnt/with\\040space ext4 noauto 0 2
UUID=4 none swap sw 0 0
broken
"""


@pytest.mark.parametrize(
    ("folder", "expected"),
    [
        ("/mnt/slow", "/mnt/slow"),  # the disk itself
        ("/mnt/slow/checkpoints", "/mnt/slow"),
        ("/mnt/with space/x", "/mnt/with space"),
        ("/mnt/slower", None),  # another name
        ("/mnt/up/checkpoints", None),  # no disk that fstab knows
    ],
)
def test_a_disk_that_fstab_knows_has_to_be_mounted(folder: str, expected: str | None) -> None:
    assert unmounted(Path(folder), FSTAB, lambda _: False) == (Path(expected) if expected else None)
    assert unmounted(Path(folder), FSTAB, lambda _: True) is None


def test_a_named_folder_that_does_not_exist_is_refused_and_not_made(tmp_path: Path) -> None:
    folder = tmp_path / "mnt" / "checkpoints"
    with pytest.raises(SettingsInvalid, match=r"disk_dir: the folder .*mnt/checkpoints does not exist.*mkdir -p"):
        require_disk(Settings(data_dir=tmp_path / "data", disk_dir=folder))
    assert not folder.parent.exists()
    folder.mkdir(parents=True)
    require_disk(Settings(data_dir=tmp_path / "data", disk_dir=folder))


class Disk(NamedTuple):
    """What statvfs says, as far as it is asked for."""

    f_bavail: int = 1 << 30
    f_frsize: int = 4096
    f_blocks: int = 1 << 31
    f_files: int = 1 << 20
    f_favail: int = 1 << 19


@pytest.mark.parametrize(
    ("disk", "said"),
    [
        (Disk(f_bavail=16), "0 MiB free, of 16 MiB"),
        (Disk(f_bavail=(LEAST_MEBIBYTES << 8) - 1), "15 MiB free, of 16 MiB"),
        (Disk(f_favail=LEAST_FILES - 1), "room for 199 more files, of 200"),
    ],
)
def test_a_data_directory_without_room_for_a_start_is_refused_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, disk: Disk, said: str
) -> None:
    monkeypatch.setattr("os.statvfs", lambda _path: disk)
    with pytest.raises(SettingsInvalid, match=rf"{tmp_path} is on a disk with {said} .*make room .*QUICKTHAW_DATA_DIR"):
        require_room(tmp_path)


@pytest.mark.parametrize(
    "disk",
    [
        Disk(f_bavail=LEAST_MEBIBYTES << 8, f_favail=LEAST_FILES),
        Disk(f_bavail=0, f_blocks=0),  # a file system that does not say how large it is
        Disk(f_files=0, f_favail=0),  # one that makes files as it needs them, such as btrfs
    ],
)
def test_a_data_directory_with_room_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, disk: Disk) -> None:
    monkeypatch.setattr("os.statvfs", lambda _path: disk)
    require_room(tmp_path)


def test_folders_inside_the_data_directory_are_made_when_needed(tmp_path: Path) -> None:
    require_disk(Settings(data_dir=tmp_path))
    require_disk(Settings(data_dir=tmp_path, disk_dir=tmp_path / "nodes" / "b" / "checkpoints"))


def test_a_workers_file_names_the_worker_whose_disk_is_not_there(tmp_path: Path) -> None:
    file = tmp_path / "workers.toml"
    file.write_text(f'[[workers]]\nnode = "far"\ndisk_dir = "{tmp_path / "mnt"}"\n')
    with pytest.raises(SettingsInvalid, match=r"worker 1 \(far\), disk_dir: .*does not exist"):
        read_workers(file, Settings(data_dir=tmp_path / "data"))


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        (None, "needs torch, which cannot be imported"),
        (TorchFacts("2.6.0+cpu", None, 0), "torch 2.6.0\\+cpu is a build for CPUs; install"),
        (TorchFacts("2.6.0", "12.6", 0), "finds no CUDA device; see what `nvidia-smi` says"),
        (TorchFacts("2.6.0", "12.6", 1), "is not there: torch finds 1, from cuda:0 to cuda:0"),
    ],
)
def test_a_device_that_cannot_be_computed_on_is_refused_with_what_to_do(
    facts: TorchFacts | None, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "torch_facts", lambda: facts)
    with pytest.raises(SettingsInvalid, match=said):
        require_device("cuda:1")


def test_a_device_that_is_there_is_taken() -> None:
    assert device_problem("cuda:1", TorchFacts("2.6.0", "12.6", 2)) is None


def test_a_cpu_asks_torch_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "torch_facts", lambda: pytest.fail("it was asked"))
    require_device("cpu")


@pytest.mark.parametrize("device", ["gpu", "cuda", "cuda:x", "cuda:-1", "CPU"])
def test_a_device_that_nobody_knows_is_refused(device: str) -> None:
    with pytest.raises(SettingsInvalid, match="write cpu or cuda:N"):
        require_device(device)


def test_torch_is_asked_in_a_process_of_its_own() -> None:
    found = torch_facts()
    assert found is not None
    assert found.version[0].isdigit()
    assert (found.devices > 0) <= (found.cuda is not None)
