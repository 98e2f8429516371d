"""Where the time of a cold request goes, stage by stage until its first token."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

from quickthaw_platform.comparison.exhibits import Stage, Waterfall
from quickthaw_platform.comparison.figures import style
from quickthaw_platform.comparison.figures.palette import INK, PAPER, marks
from quickthaw_platform.comparison.figures.plate import Absent, Plate
from quickthaw_platform.comparison.numbers import duration
from quickthaw_platform.comparison.report import Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAME = "cold-start"
TITLE = "Where the time of a cold request goes"


def plates(report: Report) -> list[Plate | Absent]:
    """Return the figure, if a request was cold."""
    falls = [fall for fall in report.waterfalls if fall.count and _stages(fall)]
    if not falls:
        return [Absent(NAME, TITLE, "no request waited for the start of an instance")]
    caption = "Mean seconds of each stage over the cold requests, in order; a stage begins where the last one ended."
    return [Plate(NAME, TITLE, caption, " ".join(map(_sentence, falls)), lambda: _draw(falls))]


def _stages(fall: Waterfall) -> list[Stage]:
    return [stage for stage in fall.stages if stage.seconds > 0]


def _words(stage: Stage) -> str:
    return stage.name.removeprefix("starting/").replace("_", " ")


def _sentence(fall: Waterfall) -> str:
    stages = ", ".join(f"{_words(stage)} {duration(stage.seconds)}" for stage in _stages(fall))
    return f"{fall.backend}, mean of {fall.count:,} cold requests: {duration(fall.ttft)} to the first token: {stages}."


def _draw(falls: list[Waterfall]) -> Figure:
    lines = [len(_stages(fall)) for fall in falls]
    height = 0.5 + sum(0.45 + 0.2 * count for count in lines)
    figure, grid = style.canvas(len(falls), 1, height, share_x=True, heights=[count + 1.5 for count in lines])
    worn = marks(fall.backend for fall in falls)
    for (axes,), fall in zip(grid, falls, strict=True):
        _panel(axes, fall, worn[fall.backend].colour)
    longest = max(max(fall.ttft, sum(stage.seconds for stage in fall.stages)) for fall in falls)
    axes.set(xlim=(0, longest * 1.14), xlabel="seconds since the intended send")
    return figure


def _panel(axes: Axes, fall: Waterfall, colour: str) -> None:
    stages = _stages(fall)
    lengths = [stage.seconds for stage in stages]
    begins = [0.0, *accumulate(lengths)][:-1]
    rows = range(len(stages))
    axes.barh(rows, lengths, left=begins, height=0.66, color=colour)
    for row, begin, length in zip(rows, begins, lengths, strict=True):
        axes.annotate(
            duration(length), (begin + length, row), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8,
            bbox={"facecolor": PAPER.light, "edgecolor": "none", "pad": 0.6},
        )  # fmt: skip
    axes.axvline(fall.ttft, color=INK.light, linewidth=0.9, linestyle=":")
    axes.set_yticks(rows, [_words(stage) for stage in stages])
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set_title(f"{fall.backend}: {duration(fall.ttft)} to the first token (dotted), {fall.count:,} cold requests")
