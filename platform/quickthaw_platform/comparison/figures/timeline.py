"""Instances and queue over time, a backend a row."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from quickthaw_platform.comparison.exhibits import Timeline
from quickthaw_platform.comparison.figures import style
from quickthaw_platform.comparison.figures.palette import INK, MUTED, Mark, marks
from quickthaw_platform.comparison.figures.plate import Absent, Plate
from quickthaw_platform.comparison.report import Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

NAME = "timeline"
STARTING_HATCH = "//////"
TITLE = "Instances and queue over time"


def plates(report: Report) -> list[Plate | Absent]:
    """Return the figure of each backend's first recorded block, if there is one."""
    first: dict[str, Timeline] = {}
    for timeline in sorted(report.timelines, key=lambda timeline: timeline.repeat):
        if timeline.at:
            first.setdefault(timeline.backend, timeline)
    if not first:
        return [Absent(NAME, TITLE, "the run recorded no instances over time")]
    order = [backend.name for backend in report.header.backends if backend.name in first]
    lines = [first[name] for name in order]
    caption = (
        "One block of each backend. Left: instances that are ready and, hatched on top, those that are starting. Right:"
        " requests that hold a slot and, in full strength on top, those that wait for one."
    )
    return [Plate(NAME, TITLE, caption, " ".join(map(_sentence, lines)), lambda: _draw(lines))]


def _sentence(line: Timeline) -> str:
    empty = sum(1 for ready in line.instances_ready if ready == 0) / len(line.at)
    return (
        f"{line.backend}, repeat {line.repeat + 1}: at most {max(line.instances_ready)} instances ready and"
        f" {max(line.instances_starting)} starting at a time, none ready in {round(empty * 100)} % of the samples;"
        f" at most {max(line.in_use)} requests running and {max(line.queued)} waiting."
    )


def _draw(lines: list[Timeline]) -> Figure:
    figure, grid = style.canvas(len(lines), 2, 0.75 + 1.2 * len(lines), share_x=True)
    worn = marks(line.backend for line in lines)
    for (left, right), line in zip(grid, lines, strict=True):
        _stack(left, line.at, line.instances_ready, line.instances_starting, worn[line.backend], hatched=True)
        _stack(right, line.at, line.in_use, line.queued, worn[line.backend], hatched=False)
        left.set(title=line.backend, ylabel="instances")
        right.set(ylabel="requests")
    for column in (0, 1):
        _share_height([row[column] for row in grid])
        grid[-1][column].set_xlabel("seconds since the block began")
    style.legend(figure, _handles(), columns=4)
    return figure


def _changes(*columns: Sequence[float]) -> list[list[float]]:
    """Return the first column and the others at the moments at which one of the others changes, and at the last."""
    rows = list(zip(*columns, strict=True))
    kept = [row for last, row in pairwise(rows) if row[1:] != last[1:]]
    return [list(column) for column in zip(rows[0], *kept, rows[-1], strict=True)]


def _stack(
    axes: Axes, times: Sequence[float], at_work: Sequence[int], others: Sequence[int], mark: Mark, *, hatched: bool
) -> None:
    """Draw two areas on each other: what is at work in the colour of the backend, what is not yet above it."""
    at, lower, upper = _changes(times, at_work, others)
    total = [below + above for below, above in zip(lower, upper, strict=True)]
    axes.fill_between(
        at, lower, total, step="post", linewidth=0, edgecolor=INK.light,
        facecolor="none" if hatched else INK.light, hatch=STARTING_HATCH if hatched else None,
    )  # fmt: skip
    axes.fill_between(at, lower, step="post", facecolor=mark.colour, alpha=0.35, linewidth=0)
    axes.step(at, lower, where="post", color=mark.colour, linewidth=1.0 if hatched else 0.4)


def _handles() -> list[Patch]:
    from matplotlib.patches import Patch

    at_work = Patch(facecolor=MUTED.light, alpha=0.35, edgecolor=MUTED.light, label="ready, or running")
    starting = Patch(facecolor="none", edgecolor=INK.light, hatch=STARTING_HATCH, label="starting")
    return [at_work, starting, Patch(facecolor=INK.light, label="waiting")]


def _share_height(column: list[Axes]) -> None:
    """Give all panels of a column the same scale, in whole numbers."""
    from matplotlib.ticker import MaxNLocator

    top = max(axes.get_ylim()[1] for axes in column)
    for axes in column:
        axes.set_ylim(0, max(top, 1.1))
        axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=4))
