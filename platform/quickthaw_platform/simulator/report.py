"""Simulations side by side, as a table for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich import box
from rich.table import Table

Summary = Mapping[str, Any]


def table(summaries: Sequence[Summary]) -> Table:
    """Return one column a pair of policies, one row a figure."""
    found = Table(box=box.SIMPLE_HEAD)
    found.add_column("")
    for summary in summaries:
        found.add_column(f"{summary['policy']}\n{summary['keep_alive']}", justify="right")
    for title, shown in _ROWS.items():
        found.add_row(title, *(shown(summary) for summary in summaries))
    return found


def _spread(name: str) -> Callable[[Summary], str]:
    def shown(summary: Summary) -> str:
        figures = summary[name]
        return "-" if figures is None else " / ".join(f"{figures[p]:.2f}" for p in ("p50", "p90", "p99"))

    return shown


def _ended(summary: Summary) -> str:
    return ", ".join(f"{count:,} {state}" for state, count in sorted(summary["ended"].items()) if state != "succeeded")


def _starts(summary: Summary) -> str:
    return " / ".join(f"{count:,}" for count in summary["starts"].values())


def _instance_hours(summary: Summary) -> str:
    return " / ".join(f"{seconds / 3600:,.1f}" for seconds in summary["instance_seconds"].values())


_ROWS: Mapping[str, Callable[[Summary], str]] = {
    "calls": lambda summary: f"{summary['calls']:,}",
    "not served": lambda summary: _ended(summary) or "-",
    "first token, s: p50 / p90 / p99": _spread("ttft_seconds"),
    "first token, s: mean": lambda s: "-" if s["ttft_seconds"] is None else f"{s['ttft_seconds']['mean']:.2f}",
    "within the SLO": lambda summary: f"{summary['slo_attainment']:.1%}",
    "calls that had to wait": lambda summary: f"{summary['cold_share']:.1%}",
    "they waited, s: p50 / p90 / p99": _spread("startup_seconds"),
    "starts: template / dram / disk / remote": _starts,
    "a start, s: p50 / p90 / p99": _spread("start_seconds"),
    "estimate off by: p50 / p90 / p99": _spread("start_error"),
    "migrations": lambda summary: f"{summary['migrations']['done']:,}",
    "instance-hours: starting / idle / serving": _instance_hours,
    "simulated, h": lambda summary: f"{summary['simulated_seconds'] / 3600:,.1f}",
    "took, s": lambda summary: f"{summary['wall_seconds']:.1f}",
}
