"""The unit for a second host needs no folder that its page does not make, and no setting that does not exist."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

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


HARDENED = {
    "UMask": "0077",
    "NoNewPrivileges": "yes",
    "CapabilityBoundingSet": "",
    "AmbientCapabilities": "",
    "ProtectProc": "invisible",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateDevices": "yes",
    "PrivateTmp": "yes",
    "RestrictAddressFamilies": "AF_UNIX AF_INET AF_INET6 AF_NETLINK",
    "SystemCallArchitectures": "native",
    "LimitCORE": "0",
    "OOMPolicy": "continue",
    "Delegate": "cpu memory pids",
}
NO_PROC = ("ProtectKernelTunables", "ProtectKernelLogs", "ProtectHostname", "ProcSubset", "PrivateUsers")
"""With these the kernel lets no function have a /proc of its own."""


def directives() -> dict[str, str]:
    """Return what the unit says, by name."""
    return dict(line.split("=", 1) for line in UNIT.splitlines() if re.match(r"\w+=", line))


@pytest.mark.parametrize("name", HARDENED)
def test_the_unit_takes_what_a_worker_does_not_need(name: str) -> None:
    assert directives()[name] == HARDENED[name]


def test_the_unit_lets_a_worker_make_cages() -> None:
    said = directives()
    assert set(said["RestrictNamespaces"].split()) == {"user", "mnt", "pid", "ipc", "net"}
    assert {"@system-service", "@mount"} <= set(said["SystemCallFilter"].split())
    assert "~" not in said["SystemCallFilter"]
    assert [name for name in NO_PROC if name in said] == []


def test_the_units_score_is_the_one_that_the_page_states() -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    (stated,) = re.findall(r"exposure level: \*\*(\d\.\d)", PAGE)
    most = round(float(stated) * 10) + 5  # in tenths; a newer systemd may weigh one thing more
    asked = ["systemd-analyze", "security", "--offline=true", "--no-pager", f"--threshold={most}"]
    ran = subprocess.run(
        [*asked, str(FOLDER / "quickthaw-worker.service")], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
