"""The picture of a run: GB/s of every way, a panel for each shape and state."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.load_weights.cases import Kind
from benchmarks.load_weights.results import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS: dict[Kind, str] = {"ours": "tab:blue", "peer": "tab:orange", "limit": "tab:gray"}
STATES = {"cold": "cold disk", "warm": "page cache", "s3": "S3 on loopback"}
"""Those with a panel: a second instance moves no bytes, so it has no speed."""

PANEL_INCHES = (6.5, 3.6)


def draw(results: Sequence[Result], path: Path) -> Path:
    """Write the picture as PNG, replacing an earlier one, and return its path."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    shapes = list(dict.fromkeys(result.shape for result in results))
    states = [state for state in STATES if any(result.case.state == state for result in results)]
    wide, high = PANEL_INCHES
    figure, grid = pyplot.subplots(
        len(shapes), len(states), figsize=(wide * len(states), high * len(shapes)), squeeze=False, layout="constrained"
    )
    for row, shape in zip(grid, shapes, strict=True):
        for axes, state in zip(row, states, strict=True):
            _panel(axes, [one for one in results if (one.shape, one.case.state) == (shape, state)])
            axes.set_title(f"{shape}: {STATES[state]}")
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
    return path


def _panel(axes: Axes, results: Sequence[Result]) -> None:
    slowest_first = sorted(results, key=lambda result: result.gigabytes_per_second)
    bars = axes.barh(
        [result.case.name for result in slowest_first],
        [result.gigabytes_per_second for result in slowest_first],
        color=[COLOURS[result.case.kind] for result in slowest_first],
    )
    axes.bar_label(bars, fmt="%.2f", padding=2, fontsize=8)
    axes.tick_params(axis="y", labelsize=8)
    axes.margins(x=0.15)
    axes.set_xlabel("GB/s, until everything is usable and touched")
