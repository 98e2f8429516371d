"""An empty value is none, for every setting and by whatever way it comes."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from quickthaw import config as sdk_config
from quickthaw_platform import settings as settings_module
from quickthaw_platform.commands.compare_options import _key
from quickthaw_platform.commands.workers import read_workers
from quickthaw_platform.errors import SettingsInvalid
from quickthaw_platform.metering import counters_folder
from quickthaw_platform.setting_values.sources import forget_blank
from quickthaw_platform.settings import Settings

BLANK = ["", " ", "\t"]


@pytest.mark.parametrize("blank", BLANK)
@pytest.mark.parametrize("name", Settings.model_fields)
def test_an_empty_variable_leaves_each_setting_at_its_default(
    name: str, blank: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = getattr(Settings(), name)
    monkeypatch.setenv(f"QUICKTHAW_{name.upper()}", blank)
    loaded = settings_module.load()
    assert getattr(Settings(), name) == getattr(loaded, name) == expected
    assert {row.name: row.source for row in settings_module.describe(loaded)}[name] == "default"


@pytest.mark.parametrize("name", Settings.model_fields)
def test_an_empty_text_in_the_file_leaves_each_setting_at_its_default(name: str, tmp_path: Path) -> None:
    expected = getattr(Settings(), name)
    (tmp_path / "quickthaw.toml").write_text(f'{name} = ""\n')
    loaded = settings_module.load()
    assert getattr(loaded, name) == expected
    assert {row.name: row.source for row in settings_module.describe(loaded)}[name] == "default"


def test_an_empty_variable_does_not_hide_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "quickthaw.toml").write_text('port = 9000\ndisk_dir = "/mnt/nvme"\n')
    monkeypatch.setenv("QUICKTHAW_PORT", "")
    monkeypatch.setenv("QUICKTHAW_DISK_DIR", "")
    loaded = settings_module.load()
    assert (loaded.port, loaded.checkpoints_dir) == (9000, Path("/mnt/nvme"))
    sources = {row.name: row.source for row in settings_module.describe(loaded)}
    assert sources["port"] == sources["disk_dir"] == "quickthaw.toml"


def test_an_empty_name_of_the_file_is_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "quickthaw.toml").write_text("port = 9000\n")
    monkeypatch.setenv("QUICKTHAW_CONFIG", "")
    assert settings_module.load().port == 9000


def test_an_empty_variable_that_nobody_knows_is_no_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUICKTHAW_PROT", "")
    assert settings_module.load().port == 8080


def test_none_is_how_no_module_is_preloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings_module.load().preloaded_modules is None
    assert Settings(preload="none").preloaded_modules == ()
    assert Settings(preload="json, base64,").preloaded_modules == ("json", "base64")


@pytest.mark.parametrize("blank", BLANK)
def test_the_client_takes_empty_variables_and_arguments_for_none(blank: str, tmp_path: Path) -> None:
    (tmp_path / "client.toml").write_text('url = "http://127.0.0.1:9"\napi_key = "qt_file"\n')
    environ = {"QUICKTHAW_URL": blank, "QUICKTHAW_API_KEY": blank, "QUICKTHAW_DATA_DIR": str(tmp_path)}
    found = sdk_config.resolve(blank, blank, environ)
    assert (found.url, found.api_key) == ("http://127.0.0.1:9", "qt_file")
    assert sdk_config.client_file({"QUICKTHAW_DATA_DIR": blank}) == Path.home() / ".quickthaw" / "client.toml"


def test_the_clients_file_lies_in_the_same_folder_that_the_platform_writes_it_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert sdk_config.client_file({"QUICKTHAW_DATA_DIR": "~/qt"}) == tmp_path / "qt" / "client.toml"


def test_an_empty_text_in_a_workers_file_is_none(tmp_path: Path) -> None:
    file = tmp_path / "workers.toml"
    file.write_text('[[workers]]\nnode = "a"\ndisk_dir = ""\ndevice = " "\n')
    (worker,) = read_workers(file, Settings())
    assert worker.environment == {"QUICKTHAW_NODE": "a"}
    file.write_text('[[workers]]\nnode = " "\n')
    with pytest.raises(SettingsInvalid, match="has no `node`"):
        read_workers(file, Settings())


def test_empty_options_of_the_worker_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    from quickthaw_platform.commands.worker import worker

    monkeypatch.setenv("QUICKTHAW_REDIS_URL", "redis://127.0.0.1:1/0")
    started: list[list[str]] = []
    monkeypatch.setattr("os.execvp", lambda _file, argv: started.append(argv))
    monkeypatch.setattr("quickthaw_platform.signals.start_afresh", lambda keeping: None)  # this process goes on
    monkeypatch.setattr("os.umask", lambda mask: mask)
    options = ["--node", "", "--device", "", "--redis", "", "--label", ""]
    CliRunner().invoke(worker, options, catch_exceptions=False)
    assert settings_module.load().node == Settings().node
    assert len(started) == 1


def test_a_key_of_an_endpoint_that_is_empty_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import click

    monkeypatch.setenv("THEIR_KEY", "")
    with pytest.raises(click.UsageError, match="or an empty one"):
        _key("theirs", "THEIR_KEY")


def test_empty_variables_of_libraries_are_forgotten_and_those_of_others_stay() -> None:
    environment = {
        "AWS_ENDPOINT_URL_S3": "",
        "HF_HOME": " ",
        "WEB_CONCURRENCY": "",
        "CUDA_VISIBLE_DEVICES": "",
        "AWS_REGION": "eu",
    }
    forget_blank(environment, "QUICKTHAW_")
    assert environment == {"CUDA_VISIBLE_DEVICES": "", "AWS_REGION": "eu"}  # an empty list of devices means: none


def test_the_counters_folder_is_made_and_an_empty_name_is_none(tmp_path: Path) -> None:
    environment = {counters_folder.VARIABLE: str(tmp_path / "new" / "counters")}
    counters_folder.prepare(environment)
    assert (tmp_path / "new" / "counters").is_dir()
    environment = {counters_folder.VARIABLE: ""}
    counters_folder.prepare(environment)
    assert environment == {}


def test_a_counters_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsInvalid, match="PROMETHEUS_MULTIPROC_DIR="):
        counters_folder.prepare({counters_folder.VARIABLE: str(tmp_path / "file" / "counters")})
