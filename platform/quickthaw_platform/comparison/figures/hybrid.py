"""What a hybrid costs by how many instances are always on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quickthaw_platform.comparison.exhibits import Hybrid
from quickthaw_platform.comparison.figures import style
from quickthaw_platform.comparison.figures.palette import marks
from quickthaw_platform.comparison.figures.plate import Absent, Plate, numbered
from quickthaw_platform.comparison.numbers import money, percent
from quickthaw_platform.comparison.report import Report

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME = "hybrid"
TITLE = "How many instances to keep always on"


def plates(report: Report) -> list[Plate | Absent]:
    """Return a figure for each pair of offers."""
    found = [hybrid for hybrid in report.hybrids if hybrid.choices]
    if not found:
        return [Absent(NAME, TITLE, "the run recorded no demand over time, or there is no pair of offers")]
    return [_plate(numbered(NAME, place), hybrid) for place, hybrid in enumerate(found)]


def _plate(name: str, hybrid: Hybrid) -> Plate:
    caption = (
        f"Cost of 1,000 requests if so many instances are always on and calls pay for what the measured demand of"
        f" {hybrid.demand_of} needs beyond them. Computed, not run. The solid bar is the cheapest."
    )
    return Plate(name, f"{TITLE}: {hybrid.title}", caption, _sentence(hybrid), lambda: _draw(hybrid))


def _sentence(hybrid: Hybrid) -> str:
    return " ".join(
        f"{choice.base} always on: {money(choice.per_thousand_requests, hybrid.currency)} per 1,000 requests,"
        f" {percent(choice.overflow_share)} of the busy time served by calls{' (cheapest)' if choice.best else ''}."
        for choice in hybrid.choices
    )


def _draw(hybrid: Hybrid) -> Figure:
    figure, ((axes,),) = style.canvas(height=0.75 + 0.34 * len(hybrid.choices))
    mark = marks(["hybrid"])["hybrid"]
    for row, choice in enumerate(hybrid.choices):
        axes.barh(
            row, choice.per_thousand_requests, height=0.62, edgecolor=mark.colour,
            facecolor=mark.colour if choice.best else "none", hatch=None if choice.best else mark.hatch,
        )  # fmt: skip
        axes.annotate(
            f"{money(choice.per_thousand_requests, hybrid.currency)}, {percent(choice.overflow_share)} by calls",
            (choice.per_thousand_requests, row), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8,
        )  # fmt: skip
    axes.set_yticks(range(len(hybrid.choices)), [f"{choice.base} always on" for choice in hybrid.choices])
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    most = max(choice.per_thousand_requests for choice in hybrid.choices)
    axes.set(xlabel=f"{hybrid.currency} per 1,000 requests", xlim=(0, most * 1.32 or 1))
    return figure
