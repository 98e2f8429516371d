"""TOML files as people have them: with a byte order mark, in another encoding, unreadable."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from quickthaw import config as sdk_config
from quickthaw_platform import settings as settings_module
from quickthaw_platform.commands.workers import read_workers
from quickthaw_platform.errors import SettingsInvalid
from quickthaw_platform.prices.reading import read_text
from quickthaw_platform.settings import Settings
from quickthaw_platform.simulator.scenario import read_scenario

MARK = b"\xef\xbb\xbf"


def settings_of(file: Path) -> object:
    file.rename("quickthaw.toml")  # where it is looked for
    return settings_module.load()


READERS: dict[str, Callable[[Path], object]] = {
    "settings": settings_of,
    "workers": lambda file: read_workers(file, Settings.model_construct(node="n")),
    "scenario": read_scenario,
}


def test_a_byte_order_mark_is_passed_over_in_settings(tmp_path: Path) -> None:
    (tmp_path / "quickthaw.toml").write_bytes(MARK + b'node = "b"\n')
    loaded = settings_module.load()
    assert loaded.node == "b"
    assert {row.name: row.source for row in settings_module.describe(loaded)}["node"] == "quickthaw.toml"


def test_and_in_a_file_of_workers(tmp_path: Path) -> None:
    (tmp_path / "workers.toml").write_bytes(MARK + b'[[workers]]\nnode = "b"\n')
    (worker,) = read_workers(tmp_path / "workers.toml", Settings())
    assert worker.node == "b"


def test_and_in_prices_and_in_a_clients_file(tmp_path: Path) -> None:
    (tmp_path / "us.toml").write_bytes(MARK + b'provider = "us"\n')
    assert read_text(tmp_path / "us.toml") == 'provider = "us"\n'
    (tmp_path / "client.toml").write_bytes(MARK + b'url = "http://host:1"\n')
    assert sdk_config.resolve(None, None, {"QUICKTHAW_DATA_DIR": str(tmp_path)}).url == "http://host:1"


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('node = "b"\n'.encode("utf-16"), "is not text in UTF-8 .*; save it as that"),
        (b"node = \xe9\n", "is not text in UTF-8"),
        (b"node =\n", "is not valid TOML"),
        (b"\0", "is not valid TOML"),
    ],
    ids=["utf-16", "latin-1", "no-value", "nul"],
)
def test_a_file_that_cannot_be_read_is_named(
    tmp_path: Path, read: Callable[[Path], object], content: bytes, said: str
) -> None:
    (tmp_path / "some.toml").write_bytes(content)
    with pytest.raises(SettingsInvalid, match=rf"\.toml {said}"):
        read(tmp_path / "some.toml")


def test_a_settings_file_in_the_home_folder_of_nobody_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUICKTHAW_CONFIG", "~no-such-user/quickthaw.toml")
    with pytest.raises(SettingsInvalid, match=r"QUICKTHAW_CONFIG is ~no-such-user/quickthaw\.toml"):
        settings_module.load()
