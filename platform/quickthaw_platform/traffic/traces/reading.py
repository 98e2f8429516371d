"""Reads a trace of any kind."""

from __future__ import annotations

from pathlib import Path

from quickthaw_platform.traffic.traces.csv_trace import read_azure, read_burstgpt, read_plain
from quickthaw_platform.traffic.traces.mooncake import read_mooncake
from quickthaw_platform.traffic.traces.trace import Reader, Rows, Trace

READERS: dict[str, Reader] = {
    "azure": read_azure, "burstgpt": read_burstgpt, "csv": read_plain, "mooncake": read_mooncake,
}  # fmt: skip


def read(kind: str, path: Path) -> Trace:
    """Read a whole trace, row by row into columns. SettingsInvalid names the file and the line that is wrong."""
    into = Rows()
    READERS[kind](path, into)
    return into.trace(path)
