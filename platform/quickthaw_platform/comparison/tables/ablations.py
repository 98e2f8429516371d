"""Runs with one part changed, beside this one."""

from __future__ import annotations

from quickthaw_platform.comparison.exhibits import Ablation
from quickthaw_platform.comparison.report import Report
from quickthaw_platform.comparison.tables.cells import Cell, Column, Group, Line, Table, cell

_COLUMNS = (
    Column("TTFT mean, s"),
    Column("TTFT p50, s"),
    Column("TTFT p99, s"),
    Column("Waited for a start, %"),
    Column("Within the objective, %"),
    Column("Device-seconds a request"),
    Column("Comparable", text=True),
)


def ablations(report: Report) -> Table:
    """Return the table, grouped by the part that was changed."""
    return Table(
        name="ablation-table",
        caption="The same traffic with one part changed.",
        corner="What stood in its place",
        columns=_COLUMNS,
        groups=tuple(
            Group(tuple(_line(run) for run in report.ablations if run.part == changed), changed.capitalize())
            for changed in dict.fromkeys(run.part for run in report.ablations)
        ),
        notes=("Not comparable: model, arrivals or machine were others.",),
    )


def _line(run: Ablation) -> Line:
    return Line(
        f"{run.label} (this run)" if run.baseline and run.label != "this run" else run.label,
        (
            cell(run.ttft_mean),
            cell(run.ttft_p50),
            cell(run.ttft_p99),
            cell(run.cold_share, 100.0),
            cell(run.attainment, 100.0),
            cell(run.device_seconds),
            Cell("yes" if run.comparable else "no"),
        ),
    )
