"""The first key of a platform that a process manager started."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from redis import Redis

from quickthaw.resources import Scope
from quickthaw_platform import settings as settings_module
from quickthaw_platform.commands.keys_first import keys_first
from quickthaw_platform.errors import Conflict, SettingsInvalid
from quickthaw_platform.registry.keys import KeyStore
from tests.valkey_process import ValkeyProcess


@pytest.fixture(autouse=True)
def own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A data directory of this test's own, and settings that are read anew."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("QUICKTHAW_DATA_DIR", str(tmp_path / "data"))
    settings_module.load.cache_clear()
    yield
    settings_module.load.cache_clear()


def test_the_first_key_is_made_kept_and_works(
    redis: Redis, valkey: ValkeyProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUICKTHAW_REDIS_URL", valkey.url)
    monkeypatch.setenv("QUICKTHAW_PORT", "9000")
    result = CliRunner().invoke(keys_first, catch_exceptions=False)
    key = result.stdout.strip()
    assert KeyStore(redis).verify(key).allows(Scope.ADMIN)
    kept = tomllib.loads((tmp_path / "data" / "client.toml").read_text())
    assert kept == {"url": "http://127.0.0.1:9000", "api_key": key}
    with pytest.raises(Conflict, match="--anew"):
        CliRunner().invoke(keys_first, catch_exceptions=False)
    another = json.loads(CliRunner().invoke(keys_first, ["--anew", "--json"], catch_exceptions=False).stdout)
    assert another["key"] != key
    assert KeyStore(redis).verify(another["key"]).allows(Scope.ADMIN)


def test_without_a_redis_it_says_what_to_set() -> None:
    with pytest.raises(SettingsInvalid, match="QUICKTHAW_REDIS_URL"):
        CliRunner().invoke(keys_first, catch_exceptions=False)
