"""Cost of a request against the rate: where paying for calls and paying for servers cost the same."""

from __future__ import annotations

from math import log
from typing import TYPE_CHECKING

from quickthaw_platform.comparison.exhibits import BreakEven, CostPoint
from quickthaw_platform.comparison.figures import style
from quickthaw_platform.comparison.figures.palette import INK, MUTED, Mark, marks
from quickthaw_platform.comparison.figures.plate import Absent, Plate, numbered
from quickthaw_platform.comparison.figures.spots import Spot, draw_spots
from quickthaw_platform.comparison.numbers import interval, money, plain
from quickthaw_platform.comparison.report import Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAME = "break-even"
TITLE = "Where calls and servers cost the same"


def plates(report: Report) -> list[Plate | Absent]:
    """Return a figure for each pair of offers."""
    pairs = [pair for pair in report.break_evens if pair.rates]
    if not pairs:
        why = "there is no pair of a serverless and a serverful backend with measured device-seconds and prices"
        return [Absent(NAME, TITLE, why)]
    part = round(report.header.confidence * 100)
    return [_plate(numbered(NAME, place), pair, part) for place, pair in enumerate(pairs)]


def _plate(name: str, pair: BreakEven, part: int) -> Plate:
    caption = (
        f"Cost of 1,000 requests against their rate, at a burstiness of CV {plain(pair.cv)} and a keep-alive of"
        f" {plain(pair.keep_alive)} s. Lines are computed from the measured service and start times by closed"
        f" forms; the band is their {part} % interval, the shaded column that of the break-even rate."
        " Filled marks were measured; marks joined by dashes were simulated; hollow, crossed marks are saturated."
    )
    return Plate(name, f"{TITLE}: {pair.title}", caption, _sentence(pair), lambda: _draw(pair))


def _sentence(pair: BreakEven) -> str:
    points = (
        f"{_what(point)} {point.label} at {plain(point.rate)} requests/s:"
        f" {money(point.per_thousand_requests.value, pair.currency)} per 1,000 requests"
        f"{', saturated' if point.saturated else ''}"
        for point in pair.points
        if point.per_thousand_requests.value is not None
    )
    return f"{crossing(pair)} {'; '.join(points)}."


def _what(point: CostPoint) -> str:
    return "Simulated" if point.simulated else "Measured"


def crossing(pair: BreakEven) -> str:
    """Say where the two costs cross."""
    if pair.always is not None:
        span = f"from {plain(pair.rates[0])} to {plain(pair.most_rate)} requests/s"
        return f"The {pair.always} offer is cheaper at every rate {span}."
    if pair.crossing.value is None:
        return "The break-even rate is unknown."
    return f"Both cost the same at {interval(pair.crossing)} requests/s; below it serverless is cheaper."


def _draw(pair: BreakEven) -> Figure:
    figure, ((axes,),) = style.canvas(height=4.1)
    worn = marks(["serverless", "serverful", *(point.backend for point in pair.points)])
    calls, servers = worn["serverless"], worn["serverful"]
    axes.fill_between(pair.rates, pair.low, pair.high, color=calls.colour, alpha=0.2, linewidth=0)
    axes.plot(pair.rates, pair.serverless, color=calls.colour, label="serverless, closed form")
    axes.plot(pair.rates, pair.serverful, color=servers.colour, label=f"serverful ({pair.replicas}×), closed form")
    _mark_crossing(axes, pair)
    for backend in dict.fromkeys(point.backend for point in pair.points):
        _points(axes, [point for point in pair.points if point.backend == backend], worn[backend])
    axes.set(xlabel="requests per second", ylabel=f"{pair.currency} per 1,000 requests")
    costs = [point.per_thousand_requests.value for point in pair.points]
    style.logarithmic(axes, "x", pair.rates)
    style.logarithmic(axes, "y", [*pair.low, *pair.serverful, *(cost for cost in costs if cost is not None)])
    style.legend(figure)
    return figure


def _mark_crossing(axes: Axes, pair: BreakEven) -> None:
    at = pair.crossing
    if pair.always is not None or at.value is None:
        return
    if at.low is not None and at.high is not None:
        axes.axvspan(at.low, at.high, color=MUTED.light, alpha=0.16, linewidth=0)
    axes.axvline(at.value, color=INK.light, linewidth=0.9, linestyle=":")
    left = log(at.value / pair.rates[0]) > 0.65 * log(pair.rates[-1] / pair.rates[0])
    axes.annotate(
        f"break-even\n{interval(at)}\nrequests/s", ((at.low if left else at.high) or at.value, 1),
        xycoords=("data", "axes fraction"), xytext=(-4 if left else 4, 0), textcoords="offset points",
        ha="right" if left else "left", va="top", fontsize=8,
    )  # fmt: skip


def _points(axes: Axes, points: list[CostPoint], mark: Mark) -> None:
    for simulated in (True, False):
        chosen = [point for point in points if point.simulated is simulated]
        spots = [Spot(p.rate, p.per_thousand_requests, p.saturated) for p in sorted(chosen, key=lambda p: p.rate)]
        draw_spots(axes, spots, mark, points[0].label, simulated=simulated)
