"""The areas of the repository and the imports of their files."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
AREAS = {
    "quickthaw": ROOT / "sdk" / "quickthaw",
    "quickthaw_platform": ROOT / "platform" / "quickthaw_platform",
    "quickthaw_backends": ROOT / "backends" / "quickthaw_backends",
}


def modules(area: str) -> Iterator[tuple[str, Path]]:
    """Yield the name and file of each module of an area."""
    root = AREAS[area]
    for file in sorted(root.rglob("*.py")):
        parts = file.relative_to(root).with_suffix("").parts
        yield ".".join((area, *(part for part in parts if part != "__init__"))), file


def imports(file: Path) -> set[str]:
    """Return the full names that a file imports anywhere: `from a import b` counts as a.b."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: imports are absolute"
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def within(name: str, package: str) -> bool:
    """Say whether a dotted name is a package or lies in it."""
    return name == package or name.startswith(package + ".")
