"""Pairs of backends on the same requests, beside what two copies of one backend differ by."""

from __future__ import annotations

from quickthaw_platform.comparison.numbers import NONE, plain
from quickthaw_platform.comparison.report import Difference, Report
from quickthaw_platform.comparison.tables.cells import Cell, Column, Group, Line, Table, cell

_MEASURES = {
    "ttft_mean": "Mean time to the first token",
    "ttft_p50": "Median time to the first token",
    "e2e_mean": "Mean time to the whole answer",
    "tpot_mean": "Mean time per token",
    "attainment": "Part within the objective",
    "goodput": "Goodput",
    "device_seconds": "Device-seconds a request",
}
_VERDICTS = {"lower": "lower", "higher": "higher", "none": "no difference found", "unknown": "not known"}


def differences(report: Report) -> Table:
    """Return the table of differences, grouped by pair."""
    pairs = dict.fromkeys((found.first, found.second) for found in report.differences)
    return Table(
        name="differences",
        caption="Differences between backends, request by request on the same arrivals: the first minus the second.",
        corner="Measure",
        columns=(Column("Difference"), Column("Noise floor"), Column("The first is", text=True)),
        groups=tuple(_group(report, first, second) for first, second in pairs),
        notes=(
            _noise(report),
            "No difference is found where the interval holds 0, or where it is below the noise floor: there may be one"
            " that this run is too short to show.",
        ),
    )


def _group(report: Report, first: str, second: str) -> Group:
    mine = [found for found in report.differences if (found.first, found.second) == (first, second)]
    return Group(tuple(_line(found) for found in mine), f"{first} minus {second}")


def _line(found: Difference) -> Line:
    floor = Cell(NONE if found.floor is None else plain(found.floor))
    head = f"{_MEASURES[found.measure]}, {found.unit}" if found.unit else _MEASURES[found.measure]
    return Line(head, (cell(found.difference), floor, Cell(_VERDICTS[found.verdict])))


def _noise(report: Report) -> str:
    if report.noise is None:
        return "No backend was run twice (A/A), so the noise floor is not known."
    return (
        f"The noise floor is what {report.noise.backend} and its second copy {report.noise.twin} differed by in the"
        " same run (A/A)."
    )
