"""The table in docs/configuration.md: `python -m tests.packaging.settings_table` prints it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from quickthaw_platform.settings import Settings

MEBIBYTE = 1 << 20


def settings_table() -> str:
    """Return the Markdown table of all settings, the same on every machine."""
    lines = ["| setting | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        meaning = (field.description or "").replace("|", "\\|")
        lines.append(f"| `{name}` | {_default(field)} | {meaning} |")
    return "\n".join(lines) + "\n"


def _default(field: FieldInfo) -> str:
    if field.default_factory is not None:
        return "of this machine"
    return "none" if field.default is None else f"`{_written(field.default)}`"


def _written(value: Any) -> str:
    if isinstance(value, Path):
        return f"~/{value.relative_to(Path.home())}"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and value and value % MEBIBYTE == 0:
        return f"{value // MEBIBYTE} MiB"
    if isinstance(value, float):
        return f"{value:.12g} s"
    return str(value).replace(",", ", ")


if __name__ == "__main__":
    print(settings_table(), end="")
