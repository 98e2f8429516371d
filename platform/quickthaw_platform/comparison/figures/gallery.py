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

_CHAPTERS = {
    "cost": (break_even, surface, pareto, hybrid),
    "latency": (latency, waterfall, attainment),
    "time": (timeline,),
    "parts": (ablations,),
}


def chapters(report: Report) -> dict[str, list[Plate | Absent]]:
    """Return every figure that the report can be drawn as, and why others cannot, by chapter of the page.

    No plotting library is imported by this.
    """
    return {
        chapter: [plate for module in modules for plate in module.plates(report)]
        for chapter, modules in _CHAPTERS.items()
    }


def plates(report: Report) -> list[Plate]:
    """Return every figure that can be drawn, in the order of the page."""
    return [plate for chapter in chapters(report).values() for plate in chapter if isinstance(plate, Plate)]


def draw_all(report: Report, folder: Path) -> dict[str, Path]:
    """Write FOLDER/NAME.svg and .png for each figure with data; returns the SVGs by name, in the order of the page.

    What an earlier report of the same run left there and this one has no data for is deleted.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for absent in (plate for chapter in chapters(report).values() for plate in chapter if isinstance(plate, Absent)):
        for ending in (".svg", ".png"):
            (folder / absent.name).with_suffix(ending).unlink(missing_ok=True)
    drawn = {}
    with style.styled():
        for plate in plates(report):
            drawn[plate.name] = style.save(plate.draw(), folder / plate.name)
    return drawn
