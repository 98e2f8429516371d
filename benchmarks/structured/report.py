"""Turns what was answered and how fast into rows and goals. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.report import Cell, Goal, Report
from benchmarks.stats import median
from benchmarks.structured.answers import Answer, tally

OURS, PEER = "quickthaw, llamacpp", "llama.cpp's server"
RATE_RATIO = 0.95
CACHED_MS = 5.0
NEW_MS = 50.0
ALL = "all"


@dataclass(frozen=True, slots=True)
class Speed:
    """What the rounds measured of one way, each list one value a round or a request.

    `held` and `free`: tokens a second with a schema and without, by the number of streams, of the same rounds.
    The rest is milliseconds to the first token: without a schema, with one known already, with one never seen.
    """

    held: Mapping[int, Sequence[float]]
    free: Mapping[int, Sequence[float]]
    first_free_ms: Sequence[float] = field(default_factory=tuple)
    first_known_ms: Sequence[float] = field(default_factory=tuple)
    first_new_ms: Sequence[float] = field(default_factory=tuple)

    def ratio(self, streams: int) -> float:
        """Return tokens/s with a schema over those without, the median of the rounds' ratios."""
        return median([held / free for held, free in zip(self.held[streams], self.free[streams], strict=True)])

    def added_ms(self, values: Sequence[float]) -> float:
        """Return by how much the median of some first tokens is later than without a schema."""
        return median(values) - median(self.first_free_ms)


def validity(found: Mapping[str, Sequence[Answer]], named: float, settings: Mapping[str, object]) -> Report:
    """Report what became of all answers, by way and group.

    `named`: the share of the unsupported keywords that are refused by name.
    """
    rows = [_validity_row(way, group, answers) for way, all_of in found.items() for group, answers in _groups(all_of)]
    counts = tally(found[OURS])
    goals = (
        Goal("schemas", len(found[OURS]), 500, ">="),
        Goal(
            "finished answers that are valid", _share(counts["valid"], counts["valid"] + counts["invalid"]), 1.0, ">="
        ),
        Goal("schemas refused or broken", counts["refused"] + counts["broken"], 0, "<="),
        Goal("unsupported keywords refused by name", named, 1.0, ">="),
    )
    return Report("structured", tuple(rows), goals, settings)


def speed(found: Mapping[str, Speed], settings: Mapping[str, object]) -> Report:
    """Report tokens a second and first tokens, with the goals for ours."""
    rows = tuple(_speed_row(way, one) for way, one in found.items())
    ours = found[OURS]
    goals = [Goal(f"tokens/s over unconstrained, {_streams(n)}", ours.ratio(n), RATE_RATIO, ">=") for n in ours.held]
    goals += [
        Goal("first token, schema known (ms more)", ours.added_ms(ours.first_known_ms), CACHED_MS, "<="),
        Goal("first token, new schema of 2 kB (ms more)", ours.added_ms(ours.first_new_ms), NEW_MS, "<="),
    ]
    return Report("structured-speed", rows, tuple(goals), settings)


def _groups(answers: Sequence[Answer]) -> list[tuple[str, list[Answer]]]:
    names = dict.fromkeys(answer.case.group for answer in answers)
    return [(ALL, list(answers)), *((name, [one for one in answers if one.case.group == name]) for name in names)]


def _validity_row(way: str, group: str, answers: Sequence[Answer]) -> dict[str, Cell]:
    counts = tally(answers)
    finished = counts["valid"] + counts["invalid"]
    return {
        "way": way,
        "schemas about": group,
        "asked": len(answers),
        "refused": counts["refused"],
        "broken": counts["broken"],
        "cut": counts["cut"],
        "finished": finished,
        "valid": counts["valid"],
        "valid %": 100 * _share(counts["valid"], finished) if finished else None,
    }


def _speed_row(way: str, one: Speed) -> dict[str, Cell]:
    row: dict[str, Cell] = {"way": way}
    for streams in one.held:
        row[f"tokens/s, {_streams(streams)}"] = median(one.free[streams])
        row[f"with a schema, {streams}"] = median(one.held[streams])
        row[f"ratio, {streams}"] = one.ratio(streams)
    row["first token ms"] = median(one.first_free_ms)
    row["known schema"] = median(one.first_known_ms)
    row["new schema"] = median(one.first_new_ms)
    return row


def _streams(count: int) -> str:
    return "1 stream" if count == 1 else f"{count} streams"


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
