from __future__ import annotations

import configparser
import subprocess
import sys
import zipfile
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from quickthaw_platform.commands.processes import PROCESSES, procfile
from tests.packaging.roots import AREAS, ROOT


def setup_cfg() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


def listed_packages() -> list[str]:
    return setup_cfg()["options"]["packages"].split()


def test_setup_cfg_lists_every_package_and_no_other() -> None:
    folders = {
        ".".join((area, *file.parent.relative_to(root).parts))
        for area, root in AREAS.items()
        for file in root.rglob("*.py")
    }
    assert sorted(folders) == sorted(listed_packages())


def test_every_package_opens_with_a_line_that_says_what_lives_there() -> None:
    for area, root in AREAS.items():
        for folder in {root, *(file.parent for file in root.rglob("*.py"))}:
            first = (folder / "__init__.py").read_text().lstrip()
            assert first.startswith('"""'), f"{area}: {folder}/__init__.py has no docstring"


@pytest.mark.slow
def test_the_wheel_holds_every_module_script_and_marker(tmp_path: Path) -> None:
    source = tmp_path / "source"  # in the tree itself setuptools would leave a folder that the next wheel is made of
    subprocess.run(["git", "checkout-index", "--all", f"--prefix={source}/"], cwd=ROOT, check=True)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "--wheel-dir", str(tmp_path), "."], cwd=source, check=True, capture_output=True)
    with zipfile.ZipFile(next(tmp_path.glob("quickthaw-*.whl"))) as wheel:
        inside = set(wheel.namelist())
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
    wanted = {
        str(Path(area, (ROOT / name).relative_to(root)))
        for name in tracked
        for area, root in AREAS.items()
        if (ROOT / name).is_relative_to(root)
    }
    assert wanted
    assert sorted(wanted - inside) == []


def test_every_entry_point_resolves() -> None:
    config = setup_cfg()["options.entry_points"]
    for group, lines in config.items():
        registered = {point.name: point for point in entry_points(group=group)}
        for line in lines.strip().splitlines():
            name, target = (part.strip() for part in line.split("=", 1))
            assert registered[name].value == target, f"install again: {group} {name}"
            assert callable(registered[name].load())


def test_the_folder_platform_does_not_shadow_pythons_module() -> None:
    assert not (ROOT / "platform" / "__init__.py").exists()
    code = "import platform; print(platform.system())"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "Linux"


def test_the_procfile_has_the_processes_that_up_starts() -> None:
    assert (ROOT / "Procfile").read_text() == procfile()
    assert [process.name for process in PROCESSES] == ["gateway", "worker", "controller", "beat"]


def test_ci_runs_what_a_developer_runs() -> None:
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    assert "make check\nmake test\n" in script.read_text()


def test_every_pin_is_exact_and_plain() -> None:
    pins = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    for pin in pins:
        name, _, version = pin.partition("==")
        assert name, pin
        assert version, pin
        assert "+" not in version, f"{pin}: a local version cannot be found elsewhere"
