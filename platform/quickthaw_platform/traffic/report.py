"""A run for people: what was sent, how long it took, what was missed."""

from __future__ import annotations

import math
from collections.abc import Iterator

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from quickthaw.cli import output
from quickthaw_platform.traffic.percentiles import PERCENTS, Percentiles, enough
from quickthaw_platform.traffic.planning import LoadPlan
from quickthaw_platform.traffic.summary import Summary

_NAMES = {
    "ttft": "first token", "tpot": "mean of further tokens", "itl": "between two outputs", "e2e": "whole answer",
}  # fmt: skip


def show(summary: Summary, console: Console) -> None:
    """Print it all, nothing of it cut to the width of the terminal."""
    for part in _parts(summary):
        if isinstance(part, Table):
            output.show(part, console)
        else:
            console.print(part, soft_wrap=True)


def arrivals_line(plan: LoadPlan) -> str:
    """Say in one line what a plan sends."""
    cv, fano = (_number(value) for value in (plan.cv, plan.fano))
    return (
        f"{plan.label}: {len(plan)} requests in {plan.seconds:g} s, {plan.rate:.3g}/s, CV of gaps {cv}, "
        f"Fano factor (1 s) {fano}, seed {plan.seed}"
    )


def _parts(summary: Summary) -> Iterator[RenderableType]:
    plan, outcome = summary.plan, summary.outcome
    yield Text(arrivals_line(plan))
    for note in (*plan.notes, *outcome.notes):
        yield Text(f"note: {note}", style="yellow")
    yield _latencies(summary)
    yield Text(_counts(summary))
    for reason, count in summary.failures.items():
        yield Text(f"  {count} x {reason}")
    yield Text(_promises(summary))
    yield Text(f"dispatch lag p99 {outcome.dispatch_lag_p99 * 1e3:.2f} ms (limit {plan.slo.lag_limit * 1e3:.1f} ms)")
    if outcome.interrupted:
        yield Text(f"INTERRUPTED after {outcome.seconds:.1f} s of {plan.seconds:g} s", style="bold red")
    if outcome.invalid:
        yield Text(f"INVALID: {outcome.invalid}", style="bold red")


def _latencies(summary: Summary) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("seconds")
    for head in ("n", *(f"p{percent:g}" for percent in PERCENTS)):
        table.add_column(head, justify="right")
    for name, found in summary.latencies.items():
        table.add_row(f"{_NAMES[name]} ({name})", f"{found.count:,}", *_cells(found))
    return table


def _cells(found: Percentiles) -> Iterator[str]:
    for percent, value in found.values.items():
        if value is None:
            yield f"too few (<{enough(percent)})"
        else:
            yield "missed" if math.isinf(value) else f"{value:.4f}"


def _counts(summary: Summary) -> str:
    results = summary.outcome.results
    known = [result.cold for result in results if result.cold is not None]
    cold = f", {sum(known)} cold" if known else ""
    return f"{len(results)} sent, {len(results) - summary.failed} answered, {summary.failed} failed{cold}"


def _promises(summary: Summary) -> str:
    slo = summary.plan.slo
    tpot = "" if slo.tpot is None else f", further ones within {slo.tpot:g} s each"
    share = "none sent" if summary.attainment is None else f"{summary.attainment:.1%}"
    return f"SLO (first token within {slo.ttft:g} s{tpot}): met by {share}"


def _number(value: float | None) -> str:
    return "unknown (too few)" if value is None else f"{value:.2f}"
