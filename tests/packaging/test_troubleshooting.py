"""The messages in docs/troubleshooting.md are those that the code writes."""

from __future__ import annotations

import re

import pytest

from tests.packaging.roots import AREAS, ROOT

DOCUMENT = (ROOT / "docs" / "troubleshooting.md").read_text()
_CONTINUED = re.compile(r'"\s*\n\s*[fr]*"')
SOURCE = _CONTINUED.sub("", "\n".join(file.read_text() for area in AREAS.values() for file in area.rglob("*.py")))


def fragments() -> list[str]:
    """Return the fixed parts of all messages in the first column: what stands between dots."""
    cells = [row.split(" | ")[0] for row in DOCUMENT.splitlines() if row.startswith("| `")]
    messages = [code for cell in cells for code in re.findall(r"`((?:[^`\\]|\\`)+)`", cell)]
    parts = [part.strip(" ;(") for message in messages for part in re.split(r"…", message.replace("\\`", "`"))]
    return sorted({part for part in parts if len(part) > 3})


@pytest.mark.parametrize("fragment", fragments())
def test_each_message_stands_in_the_code(fragment: str) -> None:
    assert fragment in SOURCE


def test_there_are_messages() -> None:
    assert len(fragments()) > 40
