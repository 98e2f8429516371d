"""Which workers `quickthaw up` starts, and with which settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from quickthaw_platform.commands.workers import OF_A_WORKER, Worker, numbered, read_workers
from quickthaw_platform.errors import SettingsInvalid
from quickthaw_platform.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path, node="host")


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "workers.toml"
    file.write_text(text)
    return file


def test_relative_paths_are_those_of_the_folder_in_which_the_file_was_read(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = written(tmp_path, '[[workers]]\nnode = "a"\ndisk_dir = "disk"\nremote = "shelf"\n')
    [worker] = read_workers(file, settings)
    assert worker.environment == {
        "QUICKTHAW_NODE": "a",
        "QUICKTHAW_DISK_DIR": str(tmp_path / "disk"),
        "QUICKTHAW_REMOTE": str(tmp_path / "shelf"),
    }


def test_what_may_differ_from_worker_to_worker_are_settings() -> None:
    assert Settings.model_fields.keys() >= OF_A_WORKER


def test_numbered_workers_share_a_disk_unless_told_otherwise(settings: Settings, tmp_path: Path) -> None:
    assert numbered(settings, 2) == (Worker("host"), Worker("host-2"))
    assert numbered(settings, 0, own_disks=True) == ()
    folder = str(tmp_path / "nodes" / "host-2" / "checkpoints")
    assert numbered(settings, 2, own_disks=True) == (
        Worker("host"),
        Worker("host-2", {"QUICKTHAW_DISK_DIR": folder}),
    )


def test_a_file_gives_each_worker_its_settings_as_variables(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = written(
        tmp_path,
        'own_disks = true\n[[workers]]\nnode = "a"\nlabels = {zone = "x", gpu = "l4"}\ndisk_bandwidth = "200MB"\n'
        '[[workers]]\nnode = "b"\nthreads = 2\n[[workers]]\nnode = "c"\ndisk_dir = "DISK"\n'.replace(
            "DISK", str(tmp_path / "c")
        ),
    )
    workers = read_workers(file, settings)
    read = []
    for worker in workers:
        with monkeypatch.context() as patch:
            for name, value in worker.environment.items():
                patch.setenv(name, value)
            read.append(Settings(data_dir=tmp_path))
    assert [found.node for found in read] == [worker.node for worker in workers] == ["a", "b", "c"]
    assert (read[0].labels, read[0].disk_bandwidth) == ({"zone": "x", "gpu": "l4"}, 200_000_000)
    assert read[1].threads == 2
    assert [found.checkpoints_dir for found in read] == [
        tmp_path / "checkpoints",
        tmp_path / "nodes" / "b" / "checkpoints",
        tmp_path / "c",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[workers]]\nthreads = 1\n", "worker 1 has no `node`"),
        ('[[workers]]\nnode = "a"\nthreads = 0\n', r"worker 1 \(a\): threads: .*greater than or equal to 1"),
        ('[[workers]]\nnode = "a"\n[[workers]]\nnode = "a"\n', "several workers are called a"),
        ('[[workers]]\nnode = "a"\nredis_url = "redis://x"\nport = 1\n', "port, redis_url must be the same"),
        ('[[workers]]\nnode = "a"\ndisk_bandwith = 1\n', "unknown setting disk_bandwith; known: .*disk_bandwidth"),
        ('[[workers]]\nnode = "a"\nlabels = {"" = "x"}\n', r"worker 1 \(a\): labels"),
        ("[[workers]]\nnode = \n", "is not valid TOML"),
        ("own_disks = true\n", "workers: Field required"),
        ('own_disk = true\n[[workers]]\nnode = "a"\n', "own_disk: Extra inputs"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(settings: Settings, tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SettingsInvalid, match=said):
        read_workers(written(tmp_path, text), settings)


def test_a_file_that_is_not_there_is_named(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match=r"none\.toml cannot be read: No such file"):
        read_workers(tmp_path / "none.toml", settings)


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("zone=a,gpu=l4", {"zone": "a", "gpu": "l4"}),
        (' zone = a ,, path = /x=1"', None),  # neither a slash in front nor a quote
        ('{"zone": "a"}', {"zone": "a"}),
        ("", {}),
        ("zone", None),  # no value
        ("{", None),  # not JSON
    ],
)
def test_labels_are_read_from_a_variable(
    monkeypatch: pytest.MonkeyPatch, text: str, labels: dict[str, str] | None
) -> None:
    monkeypatch.setenv("QUICKTHAW_LABELS", text)
    if labels is None:
        with pytest.raises(ValueError, match="labels"):
            Settings()
    else:
        assert Settings().labels == labels
