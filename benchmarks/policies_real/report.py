"""The allocation policies on real nodes beside the simulator's word: rows, goals, the rankings and a picture. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from statistics import fmean

from benchmarks.report import Cell, Goal
from benchmarks.stats import percentile

OURS = "startup-time"
TIED = 0.05
"""Policies whose means are closer than this part of the greater one are tied."""

LARGEST_ERROR = 0.1
WAYS = ("template", "dram", "disk", "remote")
LEAST_SECONDS = 1e-2


@dataclass(frozen=True, slots=True)
class World:
    """One policy in one world, real or simulated. Times are seconds."""

    first_tokens: tuple[float, ...]  # of the calls that were served
    waited_share: float  # of all calls: those that found no free slot
    starts: Mapping[str, int]  # by way
    lost: int = 0
    spread: float = 0.0  # of the mean over repetitions: its standard deviation

    @property
    def mean(self) -> float:
        """The mean first token."""
        return fmean(self.first_tokens)


@dataclass(frozen=True, slots=True)
class Pair:
    """One policy in both worlds. `cores`: how busy the machine was meanwhile, in processors."""

    policy: str
    real: World
    simulated: World
    cores: float

    @property
    def error(self) -> float:
        """By what part the simulated mean is off."""
        return self.simulated.mean / self.real.mean - 1

    def row(self) -> dict[str, Cell]:
        """Return the row of the table of first tokens."""
        real, simulated = self.real, self.simulated
        return {
            "policy": self.policy,
            "mean s, real": real.mean,
            "mean s, simulated": simulated.mean,
            "error of mean": self.error,
            "luck s": simulated.spread,
            "p50 s, real": percentile(real.first_tokens, 50),
            "p50 s, simulated": percentile(simulated.first_tokens, 50),
            "p99 s, real": percentile(real.first_tokens, 99),
            "p99 s, simulated": percentile(simulated.first_tokens, 99),
            "lost": real.lost,
            "cores busy": self.cores,
        }

    def starts_row(self) -> dict[str, Cell]:
        """Return the row of the table of starts: who had to wait for one, and where the weights came from."""
        found: dict[str, Cell] = {"policy": self.policy}
        for name, world in (("real", self.real), ("simulated", self.simulated)):
            found[f"had to wait, {name}"] = world.waited_share
        for name, world in (("real", self.real), ("simulated", self.simulated)):
            found[f"{' / '.join(WAYS)}, {name}"] = " / ".join(str(world.starts.get(way, 0)) for way in WAYS)
        return found


def rank(means: Mapping[str, float]) -> list[tuple[str, ...]]:
    """Return the policies from the least mean to the greatest; who is tied with the best of a place shares it."""
    ordered = sorted(means, key=lambda policy: (means[policy], policy))
    places: list[list[str]] = []
    for policy in ordered:
        if places and _tied(means[places[-1][0]], means[policy]):
            places[-1].append(policy)
        else:
            places.append([policy])
    return [tuple(place) for place in places]


def contradictions(real: Mapping[str, float], simulated: Mapping[str, float]) -> list[tuple[str, str]]:
    """Return the pairs of policies that are apart in both worlds, and the other way round."""
    return [
        (one, other)
        for one, other in combinations(real, 2)
        if not _tied(real[one], real[other])
        and not _tied(simulated[one], simulated[other])
        and (real[one] < real[other]) != (simulated[one] < simulated[other])
    ]


def _tied(one: float, other: float) -> bool:
    return abs(one - other) <= TIED * max(one, other)


def goals(pairs: Sequence[Pair]) -> tuple[Goal, ...]:
    """Evaluate the rankings and the errors; ours is the one that must be near."""
    real = {pair.policy: pair.real.mean for pair in pairs}
    simulated = {pair.policy: pair.simulated.mean for pair in pairs}
    against = Goal("ranking agrees: pairs the other way round", len(contradictions(real, simulated)), 0, "<=")
    errors = tuple(
        Goal(f"|simulated / real - 1| of the mean first token, {pair.policy}", abs(pair.error), LARGEST_ERROR, "<=")
        for pair in sorted(pairs, key=lambda pair: pair.policy != OURS)
    )
    lost = Goal("calls lost", sum(pair.real.lost for pair in pairs), 0, "<=")
    return (against, *errors, lost)


def said(pairs: Sequence[Pair]) -> dict[str, str]:
    """Return both rankings as people write them: best first, those that are tied with an equals sign."""
    worlds = {
        "real": {pair.policy: pair.real.mean for pair in pairs},
        "simulated": {pair.policy: pair.simulated.mean for pair in pairs},
    }
    return {name: " < ".join(" = ".join(place) for place in rank(means)) for name, means in worlds.items()}


def draw(pairs: Sequence[Pair], file: Path) -> None:
    """Draw, for each policy, how its first tokens are distributed: real beside simulated."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2.6 * len(pairs), 3.4), layout="constrained")
    panels = figure.subplots(1, len(pairs), sharey=True, sharex=True, squeeze=False)[0]
    for axes, pair in zip(panels, pairs, strict=True):
        for name, world, style in (("real", pair.real, "-"), ("simulated", pair.simulated, "--")):
            values = sorted(max(seconds, LEAST_SECONDS) for seconds in world.first_tokens)
            shares = [(place + 1) / len(values) for place in range(len(values))]
            [line] = axes.plot(values, shares, style, label=f"{name}, mean {world.mean:.2f} s")
            axes.axvline(world.mean, linestyle=":", color=line.get_color(), linewidth=1)
        axes.set(title=pair.policy, xscale="log", xlabel="first token, seconds", ylim=(0, 1))
        axes.grid(visible=True, alpha=0.3)
        axes.legend(fontsize="x-small", loc="lower right")
    panels[0].set_ylabel("share of calls")
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=100)
