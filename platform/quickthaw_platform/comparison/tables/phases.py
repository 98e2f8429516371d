"""Where the device-seconds of each backend went."""

from __future__ import annotations

from quickthaw_platform.comparison.numbers import NONE, percent, plain, size
from quickthaw_platform.comparison.report import Report, Row, Usage
from quickthaw_platform.comparison.tables.cells import Cell, Group, Line, Table
from quickthaw_platform.comparison.tables.headline import columns

_WORDS = {
    "prefill": "Busy: prefill",
    "decode": "Busy: decode",
    "idle": "Idle, kept warm",
    "draining": "Draining",
}


def phases(report: Report) -> Table:
    """Return the table of the metered backends; starts first, then work, then waiting."""
    rows = [row for row in report.rows if row.usage is not None]
    found = list(dict.fromkeys(phase for row in rows if row.usage for phase in row.usage.seconds_by_phase))
    starting = [phase for phase in found if phase.startswith("starting")]
    others = sorted((p for p in found if p not in starting), key=lambda p: (p not in _WORDS, [*_WORDS, p].index(p)))
    lines = [_line(phase, rows) for phase in (*starting, *others)]
    return Table(
        name="phases",
        caption="Device-seconds by what the device did, all blocks together, and the part of each in the whole.",
        corner="Phase",
        columns=columns(rows),
        groups=(Group(tuple(lines)), Group(_totals(rows), "Altogether")) if lines else (),
    )


def _line(phase: str, rows: list[Row]) -> Line:
    words = _WORDS.get(phase) or phase.replace("starting/", "Starting: ").replace("_", " ").capitalize()
    return Line(words, tuple(_cell(row, phase) for row in rows))


def _cell(row: Row, phase: str) -> Cell:
    spent = row.usage.seconds_by_phase if row.usage else {}
    if phase not in spent:
        return Cell(NONE)
    total = sum(spent.values())
    return Cell(plain(spent[phase]), percent(spent[phase] / total) if total else "")


def _beside(usage: Usage) -> str:
    saved = f", {usage.tokens_saved:,} more left out" if usage.tokens_saved else ""
    return f"{usage.tokens_cached:,} cached{saved}"


def _totals(rows: list[Row]) -> tuple[Line, ...]:
    usages = [row.usage for row in rows if row.usage is not None]
    return (
        Line("Device-seconds", tuple(Cell(plain(sum(usage.seconds_by_phase.values()))) for usage in usages)),
        Line("Memory, GiB-seconds", tuple(Cell(plain(usage.memory_gib_seconds)) for usage in usages)),
        Line("Tokens in", tuple(Cell(f"{u.tokens_in:,}", _beside(u)) for u in usages)),
        Line("Tokens out", tuple(Cell(f"{usage.tokens_out:,}") for usage in usages)),
        Line("Bytes fetched", tuple(Cell(size(usage.fetched_bytes)) for usage in usages)),
    )
