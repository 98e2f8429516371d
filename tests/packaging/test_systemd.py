"""The unit for a second host needs no folder that its page does not make, and no setting that does not exist."""

from __future__ import annotations

import re

from quickthaw_platform.settings import ENV_PREFIX, Settings
from tests.packaging.roots import ROOT

FOLDER = ROOT / "deploy" / "systemd"
UNIT = (FOLDER / "quickthaw-worker.service").read_text()
PAGE = (FOLDER / "README.md").read_text()
MADE = re.findall(r"(?:--home-dir|venv|install -d -m 755|worker\.env) (/[\w./-]+)", PAGE)


def test_every_path_of_the_unit_is_made_by_a_step_of_the_page() -> None:
    paths = re.findall(r"=(/(?:etc|opt|var)[\w./-]*)", UNIT)
    assert len(paths) == 3
    assert [path for path in paths if not any(path.startswith(made) for made in MADE)] == []


def test_the_files_that_the_page_installs_are_there() -> None:
    files = re.findall(r"deploy/systemd/([\w.-]+)", PAGE)
    assert files
    assert [file for file in files if not (FOLDER / file).is_file()] == []


def test_the_example_of_settings_holds_settings() -> None:
    lines = [line for line in (FOLDER / "worker.env").read_text().splitlines() if line and not line.startswith("#")]
    names = {line.partition("=")[0] for line in lines}
    known = {ENV_PREFIX + name.upper() for name in Settings.model_fields}
    assert names
    assert names <= known
    assert {f"{ENV_PREFIX}REDIS_URL", f"{ENV_PREFIX}DATA_DIR"} <= names


def test_the_unit_waits_longer_than_a_drain() -> None:
    (seconds,) = re.findall(r"TimeoutStopSec=(\d+)", UNIT)
    assert int(seconds) > Settings().drain_timeout
