"""All figures of a report, in the order of the page, and how they become files."""

from __future__ import annotations

from pathlib import Path

from quickthaw_platform.comparison.figures import (
    ablations,
    attainment,
    break_even,
    hybrid,
    latency,
    pareto,
    style,
    surface,
    timeline,
    waterfall,
)
from quickthaw_platform.comparison.figures.plate import Absent, Plate
from quickthaw_platform.comparison.report import Report

_MODULES = (break_even, surface, pareto, latency, waterfall, timeline, attainment, hybrid, ablations)


def plates(report: Report) -> list[Plate | Absent]:
    """Return every figure that the report can be drawn as, and why the others cannot; imports no plotting library."""
    return [plate for module in _MODULES for plate in module.plates(report)]


def draw_all(report: Report, folder: Path) -> dict[str, Path]:
    """Write FOLDER/NAME.svg and .png for each figure with data; returns the SVGs by name, in the order of the page."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = {}
    with style.styled():
        for plate in plates(report):
            if isinstance(plate, Plate):
                drawn[plate.name] = style.save(plate.draw(), folder / plate.name)
    return drawn
