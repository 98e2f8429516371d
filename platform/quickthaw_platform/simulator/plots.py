"""Pictures of simulations side by side."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from quickthaw_platform.simulator.outcome import Outcome

POINTS = 2000
LEAST_SECONDS = 1e-3


def draw(outcomes: Sequence[Outcome], directory: Path) -> list[Path]:
    """Draw how waiting and the first token are distributed; returns the files, PNG and SVG."""
    directory.mkdir(parents=True, exist_ok=True)
    return [
        *_cdf(outcomes, lambda outcome: outcome.startup, "Calls that had to wait: until served", directory / "startup"),
        *_cdf(outcomes, lambda outcome: outcome.ttft, "All calls: until the first token", directory / "ttft"),
    ]


def _cdf(outcomes: Sequence[Outcome], column: Callable[[Outcome], array[float]], title: str, path: Path) -> list[Path]:
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    for outcome in outcomes:
        values = np.maximum(np.asarray(column(outcome)), LEAST_SECONDS)
        if len(values):
            shares = np.linspace(0, 1, POINTS)
            axes.plot(np.quantile(values, shares), shares, label=f"{outcome.policy}, {outcome.keep_alive}")
    axes.set(title=title, xlabel="seconds", ylabel="share of calls", xscale="log", ylim=(0, 1))
    axes.grid(visible=True, alpha=0.3)
    if axes.lines:
        axes.legend(loc="lower right", fontsize="small")
    files = [path.with_suffix(".png"), path.with_suffix(".svg")]
    for file in files:
        figure.savefig(file, dpi=150)
    return files
