"""The report as one HTML file that needs nothing else: no network, no script, no font."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from itertools import count

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from quickthaw_platform.comparison.figures.gallery import chapters
from quickthaw_platform.comparison.figures.palette import stylesheet
from quickthaw_platform.comparison.figures.plate import Absent, Plate
from quickthaw_platform.comparison.figures.theme import inline
from quickthaw_platform.comparison.report import Report, Threat
from quickthaw_platform.comparison.tables import run
from quickthaw_platform.comparison.tables.ablations import ablations
from quickthaw_platform.comparison.tables.cells import Table
from quickthaw_platform.comparison.tables.costs import costs, price_lists
from quickthaw_platform.comparison.tables.differences import differences
from quickthaw_platform.comparison.tables.headline import headline
from quickthaw_platform.comparison.tables.phases import phases
from quickthaw_platform.comparison.tables.savings import savings
from quickthaw_platform.comparison.tables.validations import validations

_PACKAGE = "quickthaw_platform.comparison"
_WEIGHTS = {"fatal": 0, "serious": 1, "limit": 2}


@dataclass(frozen=True)
class Shown:
    """A figure in the page."""

    name: str
    number: int
    title: str
    caption: str
    numbers: str
    svg: Markup


def render_html(report: Report, figures: Mapping[str, str]) -> str:
    """Return the page.

    Args:
        report: What it says.
        figures: The SVG files by name, as `gallery.draw_all` wrote them. One that is missing is named in the page.
    """
    numbers = count(1)
    shown = {
        chapter: [_shown(plate, figures, numbers) for plate in plates] for chapter, plates in chapters(report).items()
    }
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            report=report,
            style=Markup(stylesheet() + files(_PACKAGE).joinpath("templates/report.css").read_text(encoding="utf-8")),
            chapters=shown,
            tables=_tables(report),
            facts=run.facts(report.header),
            when=run.when(report.header),
            threats=sorted(report.threats, key=_weight),
        )
    )


def _environment() -> Environment:
    return Environment(
        loader=PackageLoader(_PACKAGE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )


def _tables(report: Report) -> dict[str, Table]:
    made = (headline, costs, savings, phases, differences, ablations, validations, price_lists, run.blocks)
    return {table.name: table for table in (make(report) for make in made)}


def _shown(plate: Plate | Absent, figures: Mapping[str, str], numbers: Iterator[int]) -> Shown | Absent:
    if isinstance(plate, Absent):
        return plate
    if plate.name not in figures:
        return Absent(plate.name, plate.title, "its file was not given")
    svg = inline(figures[plate.name], plate.name, plate.title, f"figure-{plate.name}-numbers")
    return Shown(plate.name, next(numbers), plate.title, plate.caption, plate.numbers, Markup(svg))


def _weight(threat: Threat) -> int:
    return _WEIGHTS[threat.weight]
