"""What simulations of the allocation policies come to: rows of tables, goals and a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.report import Cell, Goal, Report
from quickthaw_platform import plugins

OURS = "startup-time"
FREE = "starts take no time"
GOALS = {"serverless-llm": 0.75, "locality": 0.5, "random": 0.25}
"""What our 99th percentile should be at most of theirs."""

SPEED_SECONDS = 300.0
"""Of a processor, for a million calls on a thousand devices."""

NOTABLY_WORSE = 1.1
DIFFERENT = 0.05
"""Policies whose 99th percentiles are closer than this part tell nothing of where instances should start."""

Summary = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Point:
    """One policy at one rate of calls: the mean of several seeds. Times are seconds."""

    rate: float
    policy: str
    first_token_p50: float
    first_token_p99: float
    waited_p99: float  # of those that found no free slot, until served
    calls: int
    near_starts: int  # by a template or from memory
    far_starts: int
    starting_hours: float  # of instances

    @classmethod
    def of(cls, rate: float, policy: str, summaries: Sequence[Summary]) -> Point:
        """Put the seeds of one policy together."""
        starts = [summary["starts"] for summary in summaries]
        return cls(
            rate,
            policy,
            fmean(summary["ttft_seconds"]["p50"] for summary in summaries),
            fmean(summary["ttft_seconds"]["p99"] for summary in summaries),
            fmean(_p99(summary["startup_seconds"]) for summary in summaries),
            sum(summary["calls"] for summary in summaries),
            sum(ways["template"] + ways["dram"] for ways in starts),
            sum(ways["disk"] + ways["remote"] for ways in starts),
            sum(summary["instance_seconds"]["starting"] for summary in summaries) / 3600,
        )

    def row(self) -> dict[str, Cell]:
        """Return a row of the table."""
        return {
            "calls/s": self.rate,
            "policy": self.policy,
            "first token p50 s": self.first_token_p50,
            "first token p99 s": self.first_token_p99,
            "waited p99 s": self.waited_p99,
            "starts near": self.near_starts,
            "starts far": self.far_starts,
            "hours starting": self.starting_hours,
        }


def policies() -> list[str]:
    """Return the names of the policies, ours first."""
    return sorted(plugins.names(plugins.ALLOCATION_POLICIES), key=lambda name: (name != OURS, name))


def _p99(spread: Mapping[str, float] | None) -> float:
    return 0.0 if spread is None else spread["p99"]


def goals(points: Sequence[Point]) -> tuple[Goal, ...]:
    """Compare ours with each other policy: over the rates where they differ, and at the rate where ours is worst."""
    found = []
    for other, bound in GOALS.items():
        pairs = [(ours, theirs) for ours, theirs in _pairs(points, other) if _differ(ours, theirs)]
        if pairs:
            ratio = fmean(ours.first_token_p99 / theirs.first_token_p99 for ours, theirs in pairs)
            found.append(Goal(f"first token p99, of {other}'s, mean of {len(pairs)} rates", ratio, bound, "<="))
    others = sorted({point.policy for point in points} - {OURS, FREE})
    worst = max(
        (ours.first_token_p99 / theirs.first_token_p99 for other in others for ours, theirs in _pairs(points, other)),
        default=float("nan"),
    )
    return (*found, Goal("first token p99, of any other's, at the worst rate", worst, NOTABLY_WORSE, "<="))


def bounds(points: Sequence[Point]) -> list[dict[str, Cell]]:
    """Say for each rate what is left of the others' 99th percentile were starts to take no time, and what ours is."""
    rows: list[dict[str, Cell]] = []
    for rate in sorted({point.rate for point in points}):
        at = {point.policy: point.first_token_p99 for point in points if point.rate == rate}
        row: dict[str, Cell] = {"calls/s": rate}
        for other in GOALS:
            known = other in at and OURS in at
            row[f"ours / {other}"] = at[OURS] / at[other] if known else None
            row[f"no start time / {other}"] = at[FREE] / at[other] if known and FREE in at else None
        rows.append(row)
    return rows


def _pairs(points: Sequence[Point], other: str) -> list[tuple[Point, Point]]:
    ours = {point.rate: point for point in points if point.policy == OURS}
    return [(ours[point.rate], point) for point in points if point.policy == other and point.rate in ours]


def _differ(one: Point, two: Point) -> bool:
    least, most = sorted((one.first_token_p99, two.first_token_p99))
    return most - least > DIFFERENT * most


def cluster_row(summary: Summary, what: str) -> dict[str, Cell]:
    """Return a row of the large cluster's table."""
    starts = summary["starts"]
    return {
        "policy": what,
        "calls": summary["calls"],
        "had to wait": summary["cold_share"],
        "waited p50 s": (summary["startup_seconds"] or {}).get("p50"),
        "waited p99 s": (summary["startup_seconds"] or {}).get("p99"),
        "first token p99 s": summary["ttft_seconds"]["p99"],
        "starts near": starts["template"] + starts["dram"],
        "starts far": starts["disk"] + starts["remote"],
        "hours starting": summary["instance_seconds"]["starting"] / 3600,
    }


def draw(points: Sequence[Point], file: Path) -> None:
    """Draw the 99th percentile of the first token over the rate, a line for each policy."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    for policy in dict.fromkeys(point.policy for point in points):
        mine = sorted((point.rate, point.first_token_p99) for point in points if point.policy == policy)
        [line] = axes.plot([rate for rate, _ in mine], [p99 for _, p99 in mine], label=policy, marker="o")
        line.set_linewidth(2.4 if policy == OURS else 1.2)
        if policy == FREE:
            line.set(linestyle="--", color="black", marker="")
    axes.set(xlabel="calls a second", ylabel="first token, p99, seconds")
    axes.set_ylim(bottom=0)
    axes.grid(visible=True, alpha=0.3)
    axes.legend(fontsize="small")
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=100)


def speed_report(found: Mapping[str, float]) -> Report:
    """Evaluate the speed, scaled to a million calls; other processes cost the clock only."""
    seconds = found["processor seconds"] * 1e6 / found["calls"]
    goal = Goal("processor seconds for 1,000,000 calls on 1,000 devices", seconds, SPEED_SECONDS, "<=")
    return Report("policies-speed", (dict(found),), (goal,))
