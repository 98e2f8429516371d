"""Settings that are read anew, from an empty folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from quickthaw_platform import settings as settings_module


@pytest.fixture(autouse=True)
def fresh_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Read the settings anew in each test, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    settings_module.load.cache_clear()
    yield
    settings_module.load.cache_clear()
