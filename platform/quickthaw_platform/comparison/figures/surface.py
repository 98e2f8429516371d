"""Serverless cost by serverful cost over rate and burstiness."""

from __future__ import annotations

from itertools import pairwise
from math import sqrt
from typing import TYPE_CHECKING

from quickthaw_platform.comparison.exhibits import Surface
from quickthaw_platform.comparison.figures import style
from quickthaw_platform.comparison.figures.palette import INK, SCALE
from quickthaw_platform.comparison.figures.plate import Absent, Plate, numbered
from quickthaw_platform.comparison.numbers import plain
from quickthaw_platform.comparison.report import Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAME = "surface"
TITLE = "Which is cheaper, by rate and burstiness"
EDGES = (0.25, 0.5, 0.8, 1.25, 2.0, 4.0)
_WORDS = ("below 0.25", "to 0.5", "to 0.8", "to 1.25", "to 2", "to 4", "above 4")
MOST_NUMBERS_IN_A_ROW = 9


def plates(report: Report) -> list[Plate | Absent]:
    """Return a figure for each pair of offers."""
    found = [surface for surface in report.surfaces if surface.rates and surface.cvs]
    if not found:
        return [Absent(NAME, TITLE, "there is no pair of a serverless and a serverful offer to compute it for")]
    return [_plate(numbered(NAME, place), surface) for place, surface in enumerate(found)]


def _plate(name: str, surface: Surface) -> Plate:
    caption = (
        "Serverless cost divided by serverful cost, computed by closed forms: below 1 (blue) paying for calls is"
        " cheaper, above 1 (orange) paying for servers. The line joins the rates of equal cost; the diamond is the"
        " traffic of this run."
    )
    return Plate(name, f"{TITLE}: {surface.title}", caption, _sentence(surface), lambda: _draw(surface))


def _sentence(surface: Surface) -> str:
    lines = [
        f"At CV {plain(cv)} the ratio goes from {plain(ratios[0])} at {plain(surface.rates[0])} requests/s to"
        f" {plain(ratios[-1])} at {plain(surface.rates[-1])};"
        f" {'they never cost the same.' if rate is None else f'it is 1 at {plain(rate)} requests/s.'}"
        for cv, ratios, rate in zip(surface.cvs, surface.ratio, surface.crossings, strict=True)
    ]
    here = f"CV {plain(surface.here_cv)}" if surface.here_cv is not None else "an unknown CV"
    return f"{' '.join(lines)} This run had {plain(surface.here_rate)} requests/s at {here}."


def _draw(surface: Surface) -> Figure:
    from matplotlib.colors import BoundaryNorm, ListedColormap

    figure, ((axes,),) = style.canvas(height=3.6)
    colours = ListedColormap([colour.light for colour in SCALE])
    edges = [1e-9, *EDGES, 1e9]
    axes.pcolormesh(
        _borders(surface.rates), range(len(surface.cvs) + 1), surface.ratio, cmap=colours,
        norm=BoundaryNorm(edges, len(SCALE)), edgecolors="face", linewidth=0.4,
    )  # fmt: skip
    _write_ratios(axes, surface)
    _mark(axes, surface)
    axes.set(xlabel="requests per second", ylabel="burstiness (CV of the gaps)")
    axes.set_yticks([row + 0.5 for row in range(len(surface.cvs))], [plain(cv) for cv in surface.cvs])
    axes.grid(visible=False)
    style.logarithmic(axes, "x", surface.rates)
    _legend(figure)
    return figure


def _borders(centres: list[float]) -> list[float]:
    """Return the borders between cells around centres on a logarithmic axis."""
    if len(centres) == 1:
        return [centres[0] / 1.5, centres[0] * 1.5]
    between = [sqrt(a * b) for a, b in pairwise(centres)]
    return [centres[0] ** 2 / between[0], *between, centres[-1] ** 2 / between[-1]]


def _write_ratios(axes: Axes, surface: Surface) -> None:
    every = -(-len(surface.rates) // MOST_NUMBERS_IN_A_ROW)
    for row, ratios in enumerate(surface.ratio):
        for rate, ratio in list(zip(surface.rates, ratios, strict=True))[every // 2 :: every]:
            axes.text(rate, row + 0.5, plain(ratio, 2), ha="center", va="center", fontsize=7)


def _mark(axes: Axes, surface: Surface) -> None:
    """Draw the rates of equal cost, row by row, and where this run was."""
    for row, rate in enumerate(surface.crossings):
        if rate is not None:
            axes.plot([rate, rate], [row, row + 1], color=INK.light, linewidth=2, label="_")
    joined = [(row, rate) for row, rate in enumerate(surface.crossings) if rate is not None]
    for (low, left), (high, right) in pairwise(joined):
        if high == low + 1:
            axes.plot([left, right], [high, high], color=INK.light, linewidth=2)
    if surface.here_cv is not None:
        axes.plot(
            surface.here_rate, _height(surface.cvs, surface.here_cv), marker="D", markersize=7, color=INK.light,
            markerfacecolor="none", markeredgewidth=1.6, linestyle="none",
        )  # fmt: skip


def _height(cvs: list[float], cv: float) -> float:
    """Return where a burstiness lies on the axis of rows."""
    nearest = min(range(len(cvs)), key=lambda row: abs(cvs[row] - cv))
    return nearest + 0.5


def _legend(figure: Figure) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    cells = [
        Patch(facecolor=colour.light, edgecolor=INK.light, linewidth=0.4, label=word)
        for colour, word in zip(SCALE, _WORDS, strict=True)
    ]
    lines = [
        Line2D([], [], color=INK.light, linewidth=2, label="same cost"),
        Line2D([], [], color=INK.light, marker="D", markerfacecolor="none", linestyle="none", label="this run"),
    ]
    figure.legend(handles=[*cells, *lines], loc="outside lower left", ncols=5)
