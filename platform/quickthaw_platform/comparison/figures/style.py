"""How all figures look, and how they are saved: the same bytes for the same report."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from quickthaw_platform.comparison.figures.palette import INK, MUTED, PAPER, RULE
from quickthaw_platform.comparison.numbers import plain

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.typing import RcKeyType

WIDTH_INCHES = 6.0
PNG_DOTS_PER_INCH = 200
LEAST_RANGE_FOR_LOGARITHMIC_TICKS = 6
LAST_IN_LEGENDS = "saturated"
_STYLE: dict[RcKeyType, str | float | bool] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so that a layout is the same everywhere
    "font.size": 9.0,
    "text.parse_math": False,  # prices are full of dollars
    "text.color": INK.light,
    "axes.edgecolor": MUTED.light,
    "axes.labelcolor": INK.light,
    "axes.titlesize": 9.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.facecolor": PAPER.light,
    "grid.color": RULE.light,
    "grid.linewidth": 0.6,
    "xtick.color": MUTED.light,
    "ytick.color": MUTED.light,
    "xtick.labelcolor": INK.light,
    "ytick.labelcolor": INK.light,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "lines.linewidth": 1.6,
    "lines.markersize": 5.0,
    "hatch.linewidth": 0.7,
    "legend.frameon": False,
    "legend.fontsize": 8.0,
    "figure.facecolor": PAPER.light,
    "savefig.facecolor": PAPER.light,
    "svg.fonttype": "none",
    "svg.hashsalt": "quickthaw",
}


@contextmanager
def styled() -> Iterator[None]:
    """Draw and save within this."""
    import matplotlib
    from matplotlib import rc_context

    with rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # whoever shows the SVG will have one
        matplotlib.rcdefaults()
        for name, value in _STYLE.items():
            matplotlib.rcParams[name] = value
        yield


def canvas(
    rows: int = 1,
    columns: int = 1,
    height: float = 3.4,
    *,
    share_x: bool = False,
    share_y: bool = False,
    heights: Sequence[float] | None = None,
) -> tuple[Figure, list[list[Axes]]]:
    """Return an empty figure of the width of the page, and its axes by row and column.

    `height` is the figure's in inches, `heights` are those of the rows, relative to each other.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH_INCHES, height), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharex=share_x, sharey=share_y, height_ratios=heights)
    return figure, [list(row) for row in grid]


def legend(figure: Figure, handles: Sequence[Artist] | None = None, columns: int = 2) -> None:
    """Put one legend below the figure: of `handles`, or of all that has a label, each label once."""
    if handles is not None:
        figure.legend(handles=handles, loc="outside lower left", ncols=columns)
        return
    named: dict[str, Artist] = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            named.setdefault(label, handle)
    if LAST_IN_LEGENDS in named:
        named[LAST_IN_LEGENDS] = named.pop(LAST_IN_LEGENDS)
    if named:
        figure.legend(list(named.values()), list(named), loc="outside lower left", ncols=columns)


def logarithmic(axes: Axes, which: Literal["x", "y"], values: Iterable[float]) -> None:
    """Make an axis logarithmic, with plain numbers: 0.1 and 1,000 where matplotlib would write powers of ten.

    `values` are what is drawn along it. Nothing is lost from sight: with a zero among them (a free tier may cost that)
    the axis is linear below the least of the others, and all of it is where there is nothing but zeros.
    """
    from matplotlib.scale import SymmetricalLogScale
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

    axis = axes.xaxis if which == "x" else axes.yaxis
    known = list(values)
    positive = [value for value in known if value > 0]
    if not positive:
        return
    if len(positive) < len(known):
        axes.set(**{f"{which}scale": SymmetricalLogScale(axis, linthresh=min(positive))})
        axes.set(**{f"{which}lim": (-0.3 * min(positive), axis.get_view_interval()[1])})
    else:
        axes.set(**{f"{which}scale": "log"})
        low, high = axis.get_view_interval()
        if high / low < LEAST_RANGE_FOR_LOGARITHMIC_TICKS:
            axis.set_major_locator(MaxNLocator(nbins=5))
            axis.set_minor_locator(NullLocator())
        else:
            axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < 60 else (1,), numticks=12))
    axis.set_major_formatter(FuncFormatter(lambda value, _: plain(value)))
    axis.set_minor_formatter(NullFormatter())


def save(figure: Figure, stem: Path) -> Path:
    """Write STEM.svg and STEM.png without dates; returns the SVG's path."""
    svg = stem.with_suffix(".svg")
    figure.savefig(svg, metadata={"Date": None, "Creator": None})
    figure.savefig(stem.with_suffix(".png"), dpi=PNG_DOTS_PER_INCH, metadata={"Software": None})
    return svg
