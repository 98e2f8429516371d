"""Makes the report of a run's folder, as often as one likes: figures, page, text and data, from what was recorded."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from quickthaw_platform.comparison import offers
from quickthaw_platform.comparison.ablations import Changed
from quickthaw_platform.comparison.compute import compute
from quickthaw_platform.comparison.costs import consumption
from quickthaw_platform.comparison.figures.gallery import draw_all
from quickthaw_platform.comparison.html import render_html
from quickthaw_platform.comparison.markdown import render_markdown
from quickthaw_platform.comparison.measuring import measure
from quickthaw_platform.comparison.recorded import Recorded, read
from quickthaw_platform.comparison.recording import Instance
from quickthaw_platform.comparison.report import REPORT_FILE, Report
from quickthaw_platform.comparison.sides import AGAIN, ENDPOINT
from quickthaw_platform.comparison.simulation import Cluster, simulate_run, tuned
from quickthaw_platform.comparison.using import used
from quickthaw_platform.comparison.writing import write_simulated, write_text
from quickthaw_platform.prices import catalogue
from quickthaw_platform.prices.consumption import write_consumption

FIGURES = "figures"
PAGE_FILE, TEXT_FILE = "report.html", "report.md"


@dataclass(frozen=True, slots=True)
class Choices:
    """What a report is asked to show."""

    prices: Sequence[str] = ()  # ids of offers; none: all that fit
    tokens_like: str | None = None  # model whose tokens are sold at APIs
    changed: Sequence[tuple[str, str, Path]] = ()  # part, label and folder of runs in which one part was changed


def require(choices: Choices, own_prices: Path | None = None, instance: Instance | None = None) -> None:
    """Raise now what `render` would of these choices: an unknown offer or model, a folder that is no run's.

    With `instance` also where an offer has no such instances. A measurement of an hour is not to end in that.
    """
    known = catalogue.load(own_prices)
    if instance is not None and choices.prices:
        offers.usable(known, instance, choices.prices)
    for name in choices.prices:
        offers.named(known, name)
    offers.tokens(choices.tokens_like, 1, 1, dt.date.today())
    for _, _, folder in choices.changed:
        read(folder)


def render(folder: Path, choices: Choices, own_prices: Path | None = None) -> Report:
    """Write report.json, report.md, report.html and figures/ into a run's folder, and return the report.

    The run's own seed is that of the resampling, so that the same folder and prices give the same report.
    """
    recorded = read(folder)
    report = compute(
        recorded,
        catalogue.load(own_prices),
        prices=choices.prices or None,
        seed=recorded.recording.arrivals.seed or 0,
        tokens_like=choices.tokens_like,
        changed=[Changed(part, label, read(other)) for part, label, other in choices.changed],
    )
    write_text(folder / REPORT_FILE, report.model_dump_json(indent=2))
    drawn = draw_all(report, folder / FIGURES)
    write_text(folder / PAGE_FILE, render_html(report, {name: file.read_text() for name, file in drawn.items()}))
    write_text(folder / TEXT_FILE, render_markdown(report))
    _write_consumptions(folder, recorded)
    return report


def _write_consumptions(folder: Path, recorded: Recorded) -> None:
    """Write what each side used as `quickthaw prices show OFFER --consumption FILE` takes it."""
    run = recorded.recording
    measuring = measure(recorded, run.arrivals.seed or 0)
    for backend in run.backends:
        found = used(measuring, backend.name)
        if found is not None and backend.kind != ENDPOINT:
            about = f"{run.model} on {backend.name}, {run.arrivals.label} at {run.arrivals.rate:.3g} requests/s"
            write_consumption(
                consumption(measuring, backend, found),
                folder / f"consumption-{backend.name.replace(AGAIN, '-again')}.json",
                about,
            )


def simulate_folder(folder: Path, rates: Sequence[float], nodes: int, say: Callable[[str], None]) -> None:
    """Simulate a run at other rates, and leave the points in its folder."""
    recorded = read(folder)
    points = simulate_run(
        tuned(recorded.recording, recorded.results), recorded.results, rates=rates, cluster=Cluster(nodes),
        progress=lambda what: say(f"simulating {what}"),
    )  # fmt: skip
    write_simulated(folder, points)
