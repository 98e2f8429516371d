"""Points in a figure: measured ones are filled, simulated ones joined by dashes, saturated ones hollow and crossed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from quickthaw_platform.comparison.estimates import Estimate
from quickthaw_platform.comparison.figures.palette import PAPER, Mark

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DASHES = (0, (4, 2))
_SIZES = {True: 4.5, False: 6.5}


@dataclass(frozen=True)
class Spot:
    """One point; a figure without a value is left out."""

    x: Estimate | float
    y: Estimate
    saturated: bool = False

    @property
    def at(self) -> tuple[float, float] | None:
        """Where it is, or None where a coordinate is unknown."""
        x = self.x.value if isinstance(self.x, Estimate) else self.x
        return None if x is None or self.y.value is None else (x, self.y.value)


def draw_spots(
    axes: Axes, spots: Sequence[Spot], mark: Mark, label: str, *, simulated: bool, joined: bool = True
) -> None:
    """Draw points of one series, in their order; the label says whether they were measured or simulated.

    Args:
        axes: To draw on.
        spots: The points.
        mark: Colour and marker of the series.
        label: Name of the series.
        simulated: Whether no real request stands behind them.
        joined: Whether simulated points are a line through a changing rate.
    """
    known = [(spot, at) for spot in spots if (at := spot.at) is not None]
    if not known:
        return
    axes.plot(
        [x for _, (x, _) in known], [y for _, (_, y) in known], color=mark.colour, marker=mark.marker,
        markersize=_SIZES[simulated], linestyle=_DASHES if simulated and joined else "none", linewidth=1.2, zorder=3,
        label=f"{label}, {'simulated' if simulated else 'measured'}",
    )  # fmt: skip
    for spot, (x, y) in known:
        bars = axes.errorbar(
            x, y, xerr=_reach(spot.x), yerr=_reach(spot.y), color=mark.colour, elinewidth=1.1, capsize=2.5, fmt="none"
        )
        for bar in bars.lines[2] if simulated else ():
            bar.set_linestyle(_DASHES)
        if spot.saturated:
            _hollow(axes, x, y, mark)


def _reach(value: Estimate | float) -> tuple[list[float], list[float]] | None:
    """Return how far an interval reaches below and above its figure; None without one."""
    if not isinstance(value, Estimate) or value.value is None or value.low is None or value.high is None:
        return None
    return [max(value.value - value.low, 0.0)], [max(value.high - value.value, 0.0)]


def _hollow(axes: Axes, x: float, y: float, mark: Mark) -> None:
    """Put a hollow, crossed mark over a point; the legend has it once."""
    named = "saturated" in axes.get_legend_handles_labels()[1]
    axes.plot(x, y, marker=mark.marker, markersize=8, color=mark.colour, markerfacecolor=PAPER.light, zorder=4)
    axes.plot(
        x, y, marker="x", markersize=5, color=mark.colour, linestyle="none", zorder=5,
        label=None if named else "saturated",
    )  # fmt: skip
