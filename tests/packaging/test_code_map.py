"""The code map in ARCHITECTURE.md leaves nothing out."""

from __future__ import annotations

import re
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.packaging.roots import AREAS, ROOT

PLATFORM = AREAS["quickthaw_platform"]
MAP = (ROOT / "ARCHITECTURE.md").read_text().split("## Code map")[1].split("```")[1]
NAMES = re.findall(r"[\w*]+(?:\.py|/)", MAP)


@pytest.mark.parametrize(
    "path", [path for path in sorted(PLATFORM.iterdir()) if not path.name.startswith("_")], ids=lambda path: path.name
)
def test_every_module_and_package_of_the_platform_stands_in_it(path: Path) -> None:
    name = f"{path.name}/" if path.is_dir() else path.name
    assert name == "py.typed" or any(fnmatch(name, known) for known in NAMES)


def test_every_kind_of_tests_stands_in_it() -> None:
    (kinds,) = re.findall(r"^tests/\{(.*)\}/$", MAP, re.MULTILINE)
    there = {path.parent.relative_to(ROOT / "tests").parts[0] for path in (ROOT / "tests").rglob("test_*.py")}
    assert set(kinds.split(",")) == there
