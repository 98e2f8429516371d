"""Turns streams that were moved or killed into rows and goals. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.report import Cell, Goal, Report
from benchmarks.stats import Summary, gaps, median
from quickthaw.resources import LifeStep
from quickthaw.types import InvocationState

UNDISTURBED = "undisturbed"
LIVE = "live migration"
STOP = "stop, copy, continue"
RESUME = "kill -9, resumed"
AGAIN = "kill -9, asked again"

GOAL_CONTEXT = 512
GAP_INTERVALS = 3.0
FLAT_FACTOR = 1.5
"""At most so much longer is the median gap with the longest context than with the shortest, in intervals."""

STAGES = ("kill to queued", "queued to assigned", "assigned to running", "running to next token")


@dataclass(frozen=True, slots=True)
class Piece:
    """An output as its reader saw it; `at` is Unix seconds."""

    at: float
    tokens: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Cost:
    """What a move took: from the command to the first output after it."""

    seconds: float
    rounds: int
    source_cpu_seconds: float
    destination_cpu_seconds: float
    redis_bytes: float  # beyond what the stream itself had needed in that time


@dataclass(frozen=True, slots=True)
class Run:
    """One stream. `cuts` are indexes of pieces: the first ones after a handover or a kill."""

    pieces: tuple[Piece, ...]
    cuts: tuple[int, ...] = ()
    platform_gaps: tuple[float, ...] = ()  # seconds, as `describe` tells them
    costs: tuple[Cost, ...] = ()
    stages: tuple[Mapping[str, float], ...] = ()  # seconds by the names in STAGES, for each kill

    @property
    def tokens(self) -> list[int]:
        """All that was said."""
        return [token for piece in self.pieces for token in piece.tokens]

    @property
    def gaps(self) -> list[float]:
        """Seconds that the reader waited at each cut."""
        return [self.pieces[cut].at - self.pieces[cut - 1].at for cut in self.cuts]

    @property
    def intervals(self) -> list[float]:
        """Seconds between neighbouring outputs everywhere else."""
        between = gaps(piece.at for piece in self.pieces)
        return [seconds for index, seconds in enumerate(between, 1) if index not in self.cuts]


def lost_tokens(expected: Sequence[int], found: Sequence[int]) -> int:
    """Return how many tokens of an answer, as far as it came, are not those of the undisturbed one."""
    return sum(one != other for one, other in zip(expected, found, strict=False))


def stages_of(killed_at: float, steps: Iterable[LifeStep], next_token_at: float) -> dict[str, float]:
    """Return the seconds of each of STAGES, of the first loss after `killed_at`; all times are Unix seconds."""
    after = [step for step in steps if step.at >= killed_at]
    begun = _first(after, InvocationState.QUEUED, killed_at)
    slot = _first(after, InvocationState.ASSIGNED, begun)
    running = _first(after, InvocationState.RUNNING, slot)
    instants = (killed_at, begun, slot, running, next_token_at)
    return dict(zip(STAGES, gaps(instants), strict=True))


def _first(steps: Iterable[LifeStep], state: InvocationState, since: float) -> float:
    return next(step.at for step in steps if step.state is state and step.at >= since)


@dataclass(frozen=True, slots=True)
class Case:
    """A way, and how many tokens the prompt has."""

    way: str
    context: int


@dataclass(frozen=True, slots=True)
class Found:
    """All runs of a case, with what they should have said."""

    runs: tuple[Run, ...]
    expected: tuple[int, ...] = field(default=(), repr=False)

    @property
    def gaps(self) -> list[float]:
        """Of all runs, seconds."""
        return [gap for run in self.runs for gap in run.gaps]

    @property
    def interval(self) -> float:
        """Median of all runs, seconds."""
        return median([interval for run in self.runs for interval in run.intervals])

    @property
    def lost(self) -> int:
        """Tokens of all runs."""
        return sum(lost_tokens(self.expected, run.tokens) for run in self.runs)


def gap_report(found: Mapping[Case, Found], settings: Mapping[str, object]) -> Report:
    """Evaluate what readers saw."""
    undisturbed = {case.context: one.interval for case, one in found.items() if case.way == UNDISTURBED}
    rows = tuple(_gap_row(case, one, undisturbed[case.context]) for case, one in found.items())
    live = {case.context: one for case, one in found.items() if case.way == LIVE}
    goals = [
        Goal(f"p99 gap of a live migration at {context} tokens, in intervals", _in_intervals(one), GAP_INTERVALS, "<=")
        for context, one in live.items()
    ]
    least, most = live[min(live)], live[max(live)]
    flat = (median(most.gaps) / most.interval) / (median(least.gaps) / least.interval)
    goals += [
        Goal(f"median gap in intervals, {max(live)} tokens over {min(live)}", flat, FLAT_FACTOR, "<="),
        Goal("tokens lost or changed", sum(one.lost for one in found.values()), 0, "<="),
    ]
    return Report("migration", rows, tuple(goals), settings)


def _in_intervals(one: Found) -> float:
    return Summary.of(one.gaps).p99 / one.interval


def _gap_row(case: Case, one: Found, undisturbed: float) -> dict[str, Cell]:
    seen = Summary.of(one.gaps) if one.gaps else None
    told = [gap for run in one.runs for gap in run.platform_gaps]
    platform = Summary.of(told) if told else None
    return {
        "way": case.way,
        "prompt": case.context,
        "gap ms, p50": _times(seen, "p50", 1e3),
        "gap ms, p99": _times(seen, "p99", 1e3),
        "platform's p50": _times(platform, "p50", 1e3),
        "platform's p99": _times(platform, "p99", 1e3),
        "interval ms": one.interval * 1e3,
        "p50 in intervals": _times(seen, "p50", 1 / one.interval),
        "p99 in intervals": _times(seen, "p99", 1 / one.interval),
        "p99 in undisturbed": _times(seen, "p99", 1 / undisturbed),
        "lost": one.lost,
        "gaps": len(one.gaps),
    }


def _times(summary: Summary | None, which: str, factor: float) -> float | None:
    return None if summary is None else float(getattr(summary, which)) * factor


def cost_report(found: Mapping[Case, Found], settings: Mapping[str, object]) -> Report:
    """Evaluate what moves cost: medians, and the most seconds and rounds."""
    rows = []
    for case, one in found.items():
        costs = [cost for run in one.runs for cost in run.costs]
        if costs:
            rows.append(_cost_row(case, costs))
    return Report("migration-cost", tuple(rows), (), settings)


def _cost_row(case: Case, costs: Sequence[Cost]) -> dict[str, Cell]:
    return {
        "way": case.way,
        "prompt": case.context,
        "command to next token s": median([cost.seconds for cost in costs]),
        "most": max(cost.seconds for cost in costs),
        "rounds": median([cost.rounds for cost in costs]),
        "most rounds": max(cost.rounds for cost in costs),
        "CPU s, source": median([cost.source_cpu_seconds for cost in costs]),
        "CPU s, destination": median([cost.destination_cpu_seconds for cost in costs]),
        "KB over Redis": median([cost.redis_bytes for cost in costs]) / 1e3,
        "moves": len(costs),
    }


def stage_report(found: Mapping[Case, Found], settings: Mapping[str, object]) -> Report:
    """Evaluate from a kill to the next token: milliseconds of each stage, p50 and p99, all contexts side by side."""
    kills = {case.context: [stages for run in one.runs for stages in run.stages] for case, one in found.items()
             if case.way == RESUME}  # fmt: skip
    totals = {context: [{**stages, "all": sum(stages.values())} for stages in each] for context, each in kills.items()}
    rows = tuple(
        {"stage": name}
        | {
            f"{context}, {which}": getattr(Summary.of([stages[name] for stages in each]), which) * 1e3
            for context, each in totals.items()
            for which in ("p50", "p99")
        }
        for name in (*STAGES, "all")
    )
    return Report("migration-resume", rows, (), settings)
