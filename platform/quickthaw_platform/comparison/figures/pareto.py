"""Cost against latency: which measured backends are beaten by no other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quickthaw_platform.comparison.exhibits import ParetoPoint
from quickthaw_platform.comparison.figures import style
from quickthaw_platform.comparison.figures.palette import INK, marks
from quickthaw_platform.comparison.figures.plate import Absent, Plate
from quickthaw_platform.comparison.figures.spots import Spot, draw_spots
from quickthaw_platform.comparison.numbers import duration, money
from quickthaw_platform.comparison.report import Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAME = "pareto"
TITLE = "Cost against time to the first token"


def plates(report: Report) -> list[Plate | Absent]:
    """Return the figure, if a backend has both a cost and a latency."""
    known = [point for point in report.pareto if _spot(point).at is not None]
    if not known:
        return [Absent(NAME, TITLE, "no backend has both a cost and enough requests for a latency")]
    points, others = _of_one_currency(known)
    caption = (
        "Each mark is one backend on one offer; lower left is better. The steps join the measured points that no other"
        " measured point beats in both. Bars are intervals, small marks were simulated, hollow, crossed ones are"
        f" saturated.{others}"
    )
    return [Plate(NAME, TITLE, caption, " ".join(map(_sentence, points)), lambda: _draw(points))]


def _of_one_currency(known: list[ParetoPoint]) -> tuple[list[ParetoPoint], str]:
    """Return the points in the currency that most have, and a sentence about the others, which have another scale."""
    currencies = [point.currency for point in known]
    usual = max(dict.fromkeys(currencies), key=currencies.count)
    others = sorted(set(currencies) - {usual})
    said = f" Offers in {' and '.join(others)} are left out, and stand in the table." if others else ""
    return [point for point in known if point.currency == usual], said


def _spot(point: ParetoPoint) -> Spot:
    return Spot(point.per_thousand_requests, point.ttft_p99, point.saturated)


def _sentence(point: ParetoPoint) -> str:
    cost, latency = point.per_thousand_requests.value or 0.0, point.ttft_p99.value or 0.0
    what = f"{point.label} on {point.offer}, {'simulated' if point.simulated else 'measured'}"
    beaten = ", beaten by no other" if point.front else ""
    return f"{what}: {money(cost, point.currency)} per 1,000 requests, {point.quantile} {duration(latency)}{beaten}."


def _draw(points: list[ParetoPoint]) -> Figure:
    figure, ((axes,),) = style.canvas(height=4.0)
    worn = marks(point.backend for point in points)
    _steps(axes, points)
    for backend, mark in worn.items():
        for simulated in (True, False):
            chosen = [_spot(p) for p in points if p.backend == backend and p.simulated is simulated]
            draw_spots(axes, chosen, mark, backend, simulated=simulated, joined=False)
    _name_corners(axes, points)
    quantiles = " or ".join(dict.fromkeys(point.quantile for point in points))
    axes.set(
        xlabel=f"{points[0].currency} per 1,000 requests",
        ylabel=f"seconds to the first token, {quantiles}",
    )
    places = [at for point in points if (at := _spot(point).at) is not None]
    style.logarithmic(axes, "x", [x for x, _ in places])
    style.logarithmic(axes, "y", [y for _, y in places])
    style.legend(figure)
    return figure


def _corners(points: list[ParetoPoint]) -> list[tuple[float, float, ParetoPoint]]:
    front = [(at, point) for point in points if point.front and not point.simulated and (at := _spot(point).at)]
    return sorted(((x, y, point) for (x, y), point in front), key=lambda corner: corner[:2])


def _steps(axes: Axes, points: list[ParetoPoint]) -> None:
    corners = _corners(points)
    if len(corners) > 1:
        xs, ys = [x for x, _, _ in corners], [y for _, y, _ in corners]
        axes.step(xs, ys, where="post", color=INK.light, linewidth=1.0, label="beaten by no other measured point")


def _name_corners(axes: Axes, points: list[ParetoPoint]) -> None:
    for x, y, point in _corners(points):
        axes.annotate(
            point.offer, (x, y), xytext=(-6, -6), textcoords="offset points", ha="right", va="top", fontsize=8
        )
