"""Traces in CSV: those of Azure, BurstGPT, and plain ones of one's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from quickthaw_platform.traffic.traces.files import rows, wrong
from quickthaw_platform.traffic.traces.timestamps import seconds, timestamp
from quickthaw_platform.traffic.traces.trace import Rows

AZURE_COLUMNS = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
BURSTGPT_COLUMNS = ("Timestamp", "Request tokens", "Response tokens")
PLAIN_COLUMNS = ("time", "tokens_in", "tokens_out")


def read_azure(path: Path, into: Rows) -> None:
    """Read Azure's LLM inference traces of 2023 (Patel et al., ISCA'24) and 2024 (Stojkovic et al., HPCA'25)."""
    _read(path, into, "azure", AZURE_COLUMNS, timestamp)


def read_burstgpt(path: Path, into: Rows) -> None:
    """Read BurstGPT (Wang et al., arXiv 2401.17644): whole seconds; a request that failed there has 0 tokens out."""
    _read(path, into, "burstgpt", BURSTGPT_COLUMNS, float)


def read_plain(path: Path, into: Rows) -> None:
    """Read columns of one's own: `time` in seconds or as ISO times, `tokens_in`, `tokens_out`; others are left."""
    _read(path, into, "csv", PLAIN_COLUMNS, seconds)


def _read(path: Path, into: Rows, kind: str, columns: tuple[str, str, str], time: Callable[[str], float]) -> None:
    for line, (when, tokens_in, tokens_out) in rows(path, kind, columns):
        try:
            into.add(time(when), int(tokens_in), int(tokens_out))
        except (ValueError, OverflowError) as error:
            raise wrong(path, line, f"{error} (in {', '.join(columns)})") from error
