"""Files and folders in settings, for processes that work elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from quickthaw_platform.commands.whole_paths import whole_paths
from quickthaw_platform.settings import Settings


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("QUICKTHAW_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_each_file_and_folder_is_named_by_its_whole_path(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "own.toml").touch()
    monkeypatch.setenv("QUICKTHAW_CONFIG", "own.toml")
    settings = Settings.model_validate(
        {"data_dir": "data", "disk_dir": "~/disk", "prices_dir": "prices", "readable": "a:/b", "remote": "shelf"}
    )
    assert whole_paths(settings) == {
        "QUICKTHAW_CONFIG": str(here / "own.toml"),
        "QUICKTHAW_DATA_DIR": str(here / "data"),
        "QUICKTHAW_DISK_DIR": str(Path.home() / "disk"),
        "QUICKTHAW_PRICES_DIR": str(here / "prices"),
        "QUICKTHAW_READABLE": f"{here / 'a'}:/b",
        "QUICKTHAW_REMOTE": str(here / "shelf"),
    }


def test_what_is_not_set_is_not_named_and_urls_stay(here: Path) -> None:
    settings = Settings(data_dir=here, remote="s3://bucket/prefix")
    assert whole_paths(settings) == {"QUICKTHAW_DATA_DIR": str(here), "QUICKTHAW_REMOTE": "s3://bucket/prefix"}


def test_a_file_of_settings_in_the_folder_is_named_too(here: Path) -> None:
    (here / "quickthaw.toml").touch()
    assert whole_paths(Settings(data_dir=here))["QUICKTHAW_CONFIG"] == str(here / "quickthaw.toml")
