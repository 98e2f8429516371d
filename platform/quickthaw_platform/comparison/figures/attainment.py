"""How many requests stay within the objective, by rate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quickthaw_platform.comparison.exhibits import AttainmentPoint
from quickthaw_platform.comparison.figures import style
from quickthaw_platform.comparison.figures.palette import marks
from quickthaw_platform.comparison.figures.plate import Absent, Plate
from quickthaw_platform.comparison.figures.spots import Spot, draw_spots
from quickthaw_platform.comparison.numbers import duration, percent, plain
from quickthaw_platform.comparison.recording import Slo
from quickthaw_platform.comparison.report import Report

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME = "attainment"
TITLE = "Requests within the objective, by rate"
LEAST_SPAN = 0.1
BESIDE = 1.04  # measured marks of one rate stand side by side, each so much to the right of the last


def plates(report: Report) -> list[Plate | Absent]:
    """Return the figure, if the attainment of a backend is known."""
    points = [point for point in report.attainment if point.attainment.value is not None]
    if not points:
        return [Absent(NAME, TITLE, "there are too few requests for the attainment of any backend")]
    caption = (
        f"Part of the requests whose first token came within {objective(report.header.slo)}; misses count against it."
        " Large marks were measured in this run, all at one rate, and stand side by side to be seen; small marks joined"
        " by dashes were simulated; hollow, crossed ones are saturated."
    )
    return [Plate(NAME, TITLE, caption, " ".join(map(_sentence, points)), lambda: _draw(points))]


def objective(slo: Slo) -> str:
    """Say the objective."""
    return f"{duration(slo.ttft)} and whose tokens took at most {duration(slo.tpot)} each on average"


def _sentence(point: AttainmentPoint) -> str:
    what = "simulated" if point.simulated else "measured"
    end = ", saturated" if point.saturated else ""
    return f"{point.backend}, {what} at {plain(point.rate)} requests/s: {percent(point.attainment.value or 0.0)}{end}."


def _draw(points: list[AttainmentPoint]) -> Figure:
    from matplotlib.ticker import PercentFormatter

    figure, ((axes,),) = style.canvas(height=3.6)
    for place, (backend, mark) in enumerate(marks(point.backend for point in points).items()):
        mine = sorted((point for point in points if point.backend == backend), key=lambda point: point.rate)
        for simulated in (True, False):
            beside = 1.0 if simulated else BESIDE**place
            spots = [Spot(p.rate * beside, p.attainment, p.saturated) for p in mine if p.simulated is simulated]
            draw_spots(axes, spots, mark, backend, simulated=simulated)
    lows = [v for p in points for v in (p.attainment.value, p.attainment.low) if v is not None]
    bottom = max(min(*lows, 1 - LEAST_SPAN) - 0.02, 0)
    axes.set(ylim=(bottom, 1.005), xlabel="requests per second", ylabel="part of the requests")
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    style.logarithmic(axes, "x", [point.rate for point in points])
    style.legend(figure)
    return figure
