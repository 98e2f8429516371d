"""The same backend with one part changed: what each part is worth."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from quickthaw_platform.comparison.estimates import Estimate
from quickthaw_platform.comparison.exhibits import Ablation
from quickthaw_platform.comparison.figures import style
from quickthaw_platform.comparison.figures.palette import INK, marks
from quickthaw_platform.comparison.figures.plate import Absent, Plate
from quickthaw_platform.comparison.numbers import duration, interval
from quickthaw_platform.comparison.report import Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAME = "ablations"
TITLE = "What each part is worth"


def plates(report: Report) -> list[Plate | Absent]:
    """Return the figure, if there are runs with a part changed."""
    runs = report.ablations
    if not any(not run.baseline for run in runs):
        return [Absent(NAME, TITLE, "no run with a part changed was given")]
    caption = (
        "The same traffic with one part changed. Left: mean seconds to the first token. Right: device-seconds of a"
        " request. Solid: this run; hatched: with the part changed; hollow: not comparable, because model, arrivals or"
        " machine differ. Bars at the ends are intervals."
    )
    return [Plate(NAME, TITLE, caption, " ".join(map(_sentence, runs)), lambda: _draw(runs))]


def _sentence(run: Ablation) -> str:
    hollow = "" if run.comparable else " (not comparable)"
    return (
        f"{run.part}, {run.label}{hollow}: first token {interval(run.ttft_mean)} s on average,"
        f" {interval(run.device_seconds)} device-seconds a request."
    )


def _draw(runs: list[Ablation]) -> Figure:
    figure, grid = style.canvas(1, 2, 0.85 + 0.32 * len(runs), share_y=True)
    left, right = grid[0]
    _bars(left, runs, lambda run: run.ttft_mean)
    _bars(right, runs, lambda run: run.device_seconds)
    left.set_yticks(range(len(runs)), [f"{run.part}:\n{run.label}" for run in runs])
    left.set_ylim(len(runs) - 0.5, -0.5)
    left.set_xlabel("mean seconds to the first token")
    right.set_xlabel("device-seconds of a request")
    return figure


def _bars(axes: Axes, runs: list[Ablation], figure_of: Callable[[Ablation], Estimate]) -> None:
    mark = marks(["serverless"])["serverless"]
    most = max((figure_of(run).high or figure_of(run).value or 0.0) for run in runs)
    for row, run in enumerate(runs):
        shown = figure_of(run)
        if shown.value is None:
            axes.annotate("too few", (0, row), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8)
            continue
        hatch = mark.hatch if run.comparable and not run.baseline else None
        axes.barh(
            row, shown.value, height=0.6, edgecolor=mark.colour, facecolor=mark.colour if run.baseline else "none",
            hatch=hatch, linestyle="-" if run.comparable else ":",
        )  # fmt: skip
        if shown.low is not None and shown.high is not None:
            axes.plot([shown.low, shown.high], [row, row], color=INK.light, linewidth=1.4)
        axes.annotate(
            duration(shown.value), (shown.high or shown.value, row), xytext=(4, 0), textcoords="offset points",
            va="center", fontsize=8,
        )  # fmt: skip
    axes.set_xlim(0, most * 1.25 or 1)
    axes.grid(visible=False, axis="y")
