"""Compares answers that should be the same, and evaluates how often they are. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.report import Cell, Goal, Report
from benchmarks.stats import median
from quickthaw.generation import TokenLogprob

EXACT = "exact (default)"
RESUMED, NEXT, BESIDE = "resumed", "next token", "beside others"

Answer = Sequence[TokenLogprob]
"""Tokens, each with its likeliest rivals (most likely first) and their natural log-probabilities."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two answers. `flip` is the first token that differs, `margin` what was between the two likeliest there.

    Both in log-probability, which is what logits differ by: `margin` in the undisturbed answer (None: no flip);
    `drift` is the largest difference of one token's value between the answers, up to the flip and with it.
    """

    flip: int | None
    margin: float | None
    drift: float


def compare(expected: Answer, found: Answer) -> Comparison:
    """Compare an answer with the undisturbed one; both have the same number of tokens."""
    pairs = list(zip(expected, found, strict=True))
    flip = next((i for i, (one, other) in enumerate(pairs) if one.token != other.token), None)
    alike = pairs if flip is None else pairs[: flip + 1]
    drift = max((_drift(one, other) for one, other in alike), default=0.0)
    return Comparison(flip, None if flip is None else margin(expected[flip]), drift)


def compare_next(expected: TokenLogprob, recomputed: TokenLogprob) -> Comparison:
    """Compare a greedy token with the one that would be chosen in its place after a recomputed prefix."""
    flipped = recomputed.top[0][0] != expected.text
    return Comparison(0 if flipped else None, margin(expected) if flipped else None, _drift(expected, recomputed))


def margin(entry: TokenLogprob) -> float:
    """Return what is between the two likeliest tokens."""
    (_, first), (_, second) = entry.top[:2]
    return first - second


def _drift(one: TokenLogprob, other: TokenLogprob) -> float:
    ours, theirs = _named(one), _named(other)
    return max((abs(ours[text] - theirs[text]) for text in ours.keys() & theirs.keys()), default=0.0)


def _named(entry: TokenLogprob) -> dict[str, float]:
    """Return the rivals by their text; parts of a character look alike, and are left out."""
    often = Counter(text for text, _ in entry.top)
    return {text: value for text, value in entry.top if often[text] == 1}


@dataclass(frozen=True, slots=True)
class Case:
    """What was compared: a way to compute; `RESUMED`, `NEXT` or `BESIDE`; and how tokens were chosen."""

    way: str
    what: str
    sampling: str


def report(comparisons: Mapping[Case, Sequence[Comparison]], settings: Mapping[str, object]) -> Report:
    """Evaluate the comparisons of each case."""
    rows = tuple(_row(case, found) for case, found in comparisons.items())
    goals = tuple(
        Goal(f"{EXACT}: answers that differ, {what}", _differing(comparisons, what), 0, "<=")
        for what in (RESUMED, NEXT, BESIDE)
    )
    return Report("exactness", rows, goals, settings)


def _differing(comparisons: Mapping[Case, Sequence[Comparison]], what: str) -> float:
    ours = (found for case, found in comparisons.items() if (case.way, case.what) == (EXACT, what))
    return float(sum(one.flip is not None for found in ours for one in found))


def _row(case: Case, found: Sequence[Comparison]) -> dict[str, Cell]:
    flips = [one.flip for one in found if one.flip is not None]
    margins = [one.margin for one in found if one.margin is not None] if case.sampling == "greedy" else []
    drifts = [one.drift for one in found]
    return {
        "way": case.way,
        "answers": case.what,
        "sampling": case.sampling,
        "compared": len(found),
        "differ": len(flips),
        "share": len(flips) / len(found),
        "margin at flip, median": median(margins) if margins else None,
        "margin, most": max(margins, default=None),
        "drift, median": median(drifts),
        "drift, most": max(drifts),
    }


@dataclass(frozen=True, slots=True)
class Speed:
    """Tokens a second of one stream alone, and of several together."""

    one: float
    several: float


def speed_report(speeds: Mapping[str, Sequence[Speed]], streams: int, settings: Mapping[str, object]) -> Report:
    """Evaluate the rounds of each way."""
    fastest = max(median([run.one for run in runs]) for runs in speeds.values())
    rows: list[dict[str, Cell]] = [
        {
            "way": way,
            "tokens/s, one stream": (one := median([run.one for run in runs])),
            "of the fastest": one / fastest,
            f"tokens/s, {streams} streams": median([run.several for run in runs]),
            "runs": len(runs),
        }
        for way, runs in speeds.items()
    ]
    return Report("exactness-speed", tuple(rows), (), settings)
