"""How the latencies are distributed: one figure for each measure, cold requests apart from warm ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from quickthaw_platform.comparison.exhibits import LatencyCurve
from quickthaw_platform.comparison.figures import style
from quickthaw_platform.comparison.figures.palette import marks
from quickthaw_platform.comparison.figures.plate import Absent, Plate
from quickthaw_platform.comparison.numbers import duration, percent
from quickthaw_platform.comparison.report import Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LEAST_SECONDS = 1e-4
MARKERS_ON_A_LINE = 6
MOST_POINTS = 400
_MEASURES = {
    "ttft": ("Time to the first token", "seconds to the first token"),
    "e2e": ("Time to the whole answer", "seconds to the end"),
    "tpot": ("Time per token", "mean seconds between tokens"),
    "itl": ("Gaps between tokens", "seconds between tokens"),
}
_PANELS = {"cold": "Cold: waited for a start", "warm": "Warm: did not wait", "all": "All requests"}
_SHARES = (0.5, 0.9, 0.99)


def plates(report: Report) -> list[Plate | Absent]:
    """Return a figure for each measure that the report has curves of."""
    found = [
        _plate(measure, curves)
        for measure in _MEASURES
        if (curves := [c for c in report.latency_curves if c.measure == measure and c.x])
    ]
    title = "How the latencies are distributed"
    return [*found] or [Absent("latency", title, "no request got an answer, so there is no latency to draw")]


def _plate(measure: str, curves: Sequence[LatencyCurve]) -> Plate:
    title, axis = _MEASURES[measure]
    panels = _panels(curves)
    return Plate(
        name=f"latency-{measure}",
        title=f"{title}, cold and warm apart" if "cold" in panels else title,
        caption=(
            "Each curve gives the part of the requests that took at most so long, counted from the moment at which they"
            " were to be sent. A curve that ends below 100 % had requests without an answer. Further left is better."
        ),
        numbers=" ".join(_sentence(curve) for curve in {id(c): c for panel in panels.values() for c in panel}.values()),
        draw=lambda: _draw(panels, axis),
    )


def _panels(curves: Sequence[LatencyCurve]) -> dict[str, list[LatencyCurve]]:
    """Return the curves by panel. A backend that has no cold request stands among the warm ones with all it has."""
    every = [curve for curve in curves if curve.which == "all"]
    cold = [curve for curve in curves if curve.which == "cold"]
    if not cold:
        return {"all": every or list(curves)}
    warm = [curve for curve in curves if curve.which == "warm"]
    split = {curve.backend for curve in (*cold, *warm)}
    warm += [curve for curve in every if curve.backend not in split]
    return {which: panel for which, panel in (("all", every), ("cold", cold), ("warm", warm)) if panel}


def _sentence(curve: LatencyCurve) -> str:
    reached = [(share, at) for share in _SHARES if (at := _quantile(curve, share)) is not None]
    which = "requests" if curve.which == "all" else f"{curve.which} requests"
    start = f"{curve.backend}, {curve.count:,} {which}:"
    if not reached:
        return f"{start} less than half got an answer."
    return f"{start} {', '.join(f'{percent(share)} within {duration(at)}' for share, at in reached)}."


def _quantile(curve: LatencyCurve, share: float) -> float | None:
    return next((x for x, y in zip(curve.x, curve.y, strict=True) if y >= share), None)


def _draw(panels: dict[str, list[LatencyCurve]], axis: str) -> Figure:
    figure, grid = style.canvas(1, len(panels), 3.1, share_x=True, share_y=True)
    worn = marks(curve.backend for panel in panels.values() for curve in panel)
    for axes, (which, curves) in zip(grid[0], panels.items(), strict=True):
        for curve in curves:
            mark = worn[curve.backend]
            xs, ys = _thinned(curve)
            axes.step(
                xs, ys, where="post", color=mark.colour, marker=mark.marker, label=curve.backend,
                markevery=max(len(xs) // MARKERS_ON_A_LINE, 1),
            )  # fmt: skip
        _finish(axes, _PANELS[which])
    grid[0][0].set_ylabel("part of the requests")
    grid[0][len(panels) // 2].set_xlabel(axis)
    style.legend(figure, columns=4)
    return figure


def _thinned(curve: LatencyCurve) -> tuple[list[float], list[float]]:
    """Return at most `MOST_POINTS` points of a curve, its first and its last among them."""
    count = len(curve.x)
    kept = (
        range(count)
        if count <= MOST_POINTS
        else [round(i * (count - 1) / (MOST_POINTS - 1)) for i in range(MOST_POINTS)]
    )
    return [max(curve.x[place], LEAST_SECONDS) for place in kept], [curve.y[place] for place in kept]


def _finish(axes: Axes, title: str) -> None:
    from matplotlib.ticker import PercentFormatter

    axes.set(title=title, ylim=(0, 1.02))
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    style.logarithmic(axes, "x", [LEAST_SECONDS])
