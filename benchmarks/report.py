"""What a benchmark found: rows, goals, and the machine and commit they belong to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

from benchmarks.machine import describe
from quickthaw_platform.comparison.machine import source_commit

FILE_COLUMNS = 160
RESULTS = Path(__file__).parent / "results"

Cell = str | int | float | None


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound that a measured value should keep."""

    name: str
    value: float
    bound: float
    direction: Literal["<=", ">="]

    @property
    def held(self) -> bool:
        """Whether the value keeps the bound."""
        return self.value <= self.bound if self.direction == "<=" else self.value >= self.bound


@dataclass(frozen=True, slots=True)
class Report:
    """One run of one benchmark. `rows` share their keys, which head the table; `settings` says how it was run."""

    name: str
    rows: tuple[Mapping[str, Cell], ...]
    goals: tuple[Goal, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return what goes into the file, with this machine and commit."""
        return {
            "name": self.name,
            "machine": describe(),
            "commit": source_commit(),
            "settings": dict(self.settings),
            "rows": [dict(row) for row in self.rows],
            "goals": [asdict(goal) for goal in self.goals],
        }


def write(report: Report, folder: Path = RESULTS) -> Path:
    """Write the report as `bench-NAME.json`, replacing an earlier one, and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"bench-{report.name}.json"
    path.write_text(json.dumps(report.to_json(), indent=2) + "\n")
    return path


def show(report: Report, to: Console) -> None:
    """Print the rows and the goals as two tables."""
    to.print(_rows_table(report))
    if report.goals:
        to.print(_goals_table(report.goals))


def console() -> Console:
    """Return a console whose tables keep all their columns where the output is a file."""
    found = Console()
    return found if found.is_terminal else Console(width=FILE_COLUMNS)


def publish(report: Report, to: Console) -> None:
    """Print the report, write it to the results folder and say where it is."""
    show(report, to)
    to.print(f"written to {write(report)}")


def _rows_table(report: Report) -> Table:
    table = Table(title=f"bench-{report.name}")
    heads = list(report.rows[0]) if report.rows else []
    for head in heads:
        table.add_column(head, justify="left" if head == heads[0] else "right")
    for row in report.rows:
        table.add_row(*(cell_text(row.get(head)) for head in heads))
    return table


def _goals_table(goals: tuple[Goal, ...]) -> Table:
    table = Table(title="goals")
    for head in ("goal", "value", "bound", "held"):
        table.add_column(head, justify="left" if head == "goal" else "right")
    for goal in goals:
        held = "[green]yes[/]" if goal.held else "[red]no[/]"
        table.add_row(goal.name, cell_text(goal.value), f"{goal.direction} {cell_text(goal.bound)}", held)
    return table


def cell_text(value: Cell) -> str:
    """Return a cell as tables show it: four digits, thousands apart, a dash for what is not known."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else value
