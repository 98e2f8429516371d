"""Writes what a benchmark measured into a document, between its marks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.machine import describe
from benchmarks.report import Report, cell_text


def write(reports: Sequence[Report], document: Path, target: str) -> None:
    """Put the reports between the document's marks `<!-- TARGET: … -->` and `<!-- end of TARGET -->`.

    ValueError where these are not there.
    """
    text = document.read_text(encoding="utf-8")
    start = text.index("\n", text.index(f"<!-- {target}:")) + 1
    end = text.index(f"<!-- end of {target} -->", start)
    document.write_text(text[:start] + tables(reports) + text[end:], encoding="utf-8")


def tables(reports: Sequence[Report]) -> str:
    """Return the reports in Markdown, with the machine and the date."""
    machine = describe()
    where = f"{machine['cpu']}, {machine['cores']} cores, {machine['date'][:10]}"
    return "\n".join([f"Measured on {where}.", *(_table(report) for report in reports), ""])


def _table(report: Report) -> str:
    heads = list(report.rows[0])
    lines = [heads, ["---"] * len(heads), *([cell_text(row[head]) for head in heads] for row in report.rows)]
    told = [f"| {' | '.join(line)} |" for line in lines]
    settings = "; ".join(f"{name}: {_plain(value)}" for name, value in report.settings.items())
    goals = [
        f"* {goal.name}: {goal.value:g}, goal {goal.direction} {goal.bound:g}: {'held' if goal.held else 'missed'}"
        for goal in report.goals
    ]
    return "\n".join(["", f"**{report.name}** ({settings})", "", *told, "", *goals])


def _plain(value: object) -> str:
    return ", ".join(f"{name} {inner}" for name, inner in value.items()) if isinstance(value, dict) else str(value)
