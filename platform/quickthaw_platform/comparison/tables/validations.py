"""What validation had measured of the checkpoint before the run."""

from __future__ import annotations

from collections.abc import Iterator

from quickthaw.results import CheckpointResult, Measured
from quickthaw_platform.comparison.report import Report
from quickthaw_platform.comparison.tables.cells import Cell, Column, Group, Line, Table

_COLUMNS = (Column("Value", "95% interval"), Column("Engine", text=True), Column("Of the text", text=True))


def validations(report: Report) -> Table:
    """Return the table, a group for each protocol and text; it is empty where no result was kept."""
    titles = dict.fromkeys(result.title for result in report.validations)
    of_each = {title: [one for one in report.validations if one.title == title] for title in titles}
    return Table(
        name="validations",
        caption="What `quickthaw validate` had measured of the checkpoint: how well it predicts and continues texts."
        " Figures of two protocols or texts do not compare.",
        corner="Metric",
        columns=_COLUMNS,
        groups=tuple(Group(tuple(_lines(found)), title.replace(",", " on ")) for title, found in of_each.items()),
    )


def _lines(found: list[CheckpointResult]) -> Iterator[Line]:
    for result in found:
        for metric, figure in result.metrics.items():
            yield Line(metric, (_value(figure), Cell(result.engine), Cell("all" if result.whole else "a part")))


def _value(figure: Measured) -> Cell:
    interval = "" if figure.low is None else f"{figure.low:.4g} to {figure.high:.4g}"
    return Cell(f"{figure.value:.5g}", interval)
