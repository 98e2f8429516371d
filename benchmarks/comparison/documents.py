"""What the documents show of the real runs: figures copied, tables written between markers of docs/comparison.md."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from benchmarks.comparison.prediction import MOST_ERROR, Check
from benchmarks.machine import ROOT
from quickthaw_platform.comparison.estimates import Estimate
from quickthaw_platform.comparison.numbers import plain
from quickthaw_platform.comparison.report import REPORT_FILE, Percentiles, Report, Row, Usage

TEMPLATE = Path(__file__).with_name("measured.md.j2")
DOCUMENT = ROOT / "docs" / "comparison.md"
IMAGES = ROOT / "docs" / "images"
FIGURES = ("break-even", "cold-start", "timeline")
BEGIN, END = "<!-- begin measured -->\n", "<!-- end measured -->"
NOTHING = "–"


@dataclass(frozen=True, slots=True)
class Found:
    """What the runs came to. `folders` are the comparisons by the name of their traffic."""

    folders: Mapping[str, Path]
    crossing: float  # requests/s at which both sides cost the same, as predicted
    checks: Sequence[Check]
    offers: Sequence[str]
    minutes: float


def publish(found: Found) -> None:
    """Put figures, tables and the bills of other platforms into the documents."""
    for name, folder in found.folders.items():
        for figure in FIGURES:
            drawn = folder / "figures" / f"{figure}.svg"
            if drawn.exists():
                shutil.copyfile(drawn, IMAGES / f"comparison-{name}-{figure}.svg")
    before, _, rest = DOCUMENT.read_text().partition(BEGIN)
    DOCUMENT.write_text(before + BEGIN + measured(found) + "\n" + END + rest.partition(END)[2])
    files = [file for folder in found.folders.values() for file in sorted(folder.glob("consumption-*.json"))]
    command = [sys.executable, "-m", "quickthaw_platform.prices.platforms"]
    subprocess.run([*command, *(f"--consumption={file}" for file in files)], check=True, cwd=ROOT)


def measured(found: Found) -> str:
    """Return the text between the markers."""
    reports = {name: _report(folder) for name, folder in found.folders.items()}
    header = next(iter(reports.values())).header
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, autoescape=False)
    environment.filters |= {
        "plain": lambda value: NOTHING if value is None else plain(value),
        "percent": _percent,
        "mean": lambda of: _said(of.mean if isinstance(of, Percentiles) else Estimate()),
        "seconds": lambda of: _said(of.seconds if isinstance(of, Usage) else Estimate()),
        "cost": lambda row: _said(_cost(row, found.offers)),
        "mib": lambda size: NOTHING if size is None else f"{size / (1 << 20):.0f} MiB",
        "start": lambda seconds: NOTHING if seconds is None else f"{seconds:.2f} s",
        "off": lambda error: f"{100 * error:+.1f} %",
    }
    return environment.from_string(TEMPLATE.read_text()).render(
        reports=reports,
        minutes=f"{found.minutes:g}",
        day=datetime.fromtimestamp(header.created_at, UTC).date(),
        machine=header.machine,
        offers=found.offers,
        crossing=found.crossing,
        checks=found.checks,
        within=all(
            abs(error) <= MOST_ERROR for one in found.checks for name in one.measured for error in one.errors(name)
        ),
        most_error=f"{100 * MOST_ERROR:.0f} %",
        agrees=all(one.sign_agrees for one in found.checks),
    )


def _report(folder: Path) -> Report:
    return Report.model_validate_json((folder / REPORT_FILE).read_text())


def _cost(row: Row, offers: Sequence[str]) -> Estimate:
    return next((cost.per_thousand_requests for cost in row.costs if cost.offer in offers), Estimate())


def _said(estimate: Estimate) -> str:
    if estimate.value is None:
        return "too few" if estimate.needed else NOTHING
    if estimate.low is None or estimate.high is None:
        return plain(estimate.value)
    return f"{plain(estimate.value)} [{plain(estimate.low)}, {plain(estimate.high)}]"


def _percent(estimate: Estimate) -> str:
    return NOTHING if estimate.value is None else f"{100 * estimate.value:.0f} %"
