"""The report as text: `report.md`, for a repository, a mail or a terminal, with the figures beside it."""

from __future__ import annotations

from collections.abc import Iterable

from jinja2 import Environment, PackageLoader, StrictUndefined

from quickthaw_platform.comparison.figures.gallery import chapters
from quickthaw_platform.comparison.report import Report
from quickthaw_platform.comparison.tables import run
from quickthaw_platform.comparison.tables.ablations import ablations
from quickthaw_platform.comparison.tables.cells import Table
from quickthaw_platform.comparison.tables.costs import costs, price_lists
from quickthaw_platform.comparison.tables.differences import differences
from quickthaw_platform.comparison.tables.headline import headline
from quickthaw_platform.comparison.tables.phases import phases
from quickthaw_platform.comparison.tables.savings import savings
from quickthaw_platform.comparison.tables.validations import validations

_SPECIAL = str.maketrans({"|": "\\|", "\n": " ", "*": "\\*", "_": "\\_", "<": "&lt;", "`": "\\`"})


def render_markdown(report: Report, figures: str = "figures") -> str:
    """Return the text; `figures` is the folder of the figures, as seen from where the text will lie."""
    environment = Environment(
        loader=PackageLoader("quickthaw_platform.comparison"), undefined=StrictUndefined, autoescape=False,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters["text"] = text
    made = (headline, costs, savings, phases, differences, ablations, validations, price_lists, run.blocks)
    return environment.get_template("report.md.j2").render(
        report=report,
        figures=figures,
        chapters=chapters(report),
        tables={table.name: table_text(table) for table in (make(report) for make in made)},
        facts=run.facts(report.header),
        when=run.when(report.header),
    )


def text(words: str) -> str:
    """Return words as they are to be read, whatever Markdown would make of them; line breaks become spaces."""
    return words.translate(_SPECIAL)


def table_text(table: Table) -> str:
    """Return a table in GitHub's Markdown, with its caption above and its notes below; nothing of an empty one."""
    if table.empty:
        return ""
    heads = [table.corner, *(f"{column.head} {_small(column.detail)}".strip() for column in table.columns)]
    sides = ["---", *("---" if column.text else "---:" for column in table.columns)]
    lines = [_row(map(text, heads)), _row(sides)]
    for group in table.groups:
        if group.title and group.lines:
            lines.append(_row([f"**{text(group.title)}**", *[""] * len(table.columns)]))
        for line in group.lines:
            lines.append(_row([text(line.head), *(text(f"{cell.text} {cell.detail}".strip()) for cell in line.cells)]))
    notes = [f"\n{text(note)}" for note in table.notes]
    return "\n".join([text(table.caption), "", *lines, *notes])


def _small(detail: str) -> str:
    return f"({detail})" if detail else ""


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
