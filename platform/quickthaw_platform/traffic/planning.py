"""What a run will send, fixed before it begins: the same plan can be run against several endpoints."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import numpy as np

from quickthaw_platform.errors import SettingsInvalid
from quickthaw_platform.traffic import processes, statistics, tokens
from quickthaw_platform.traffic.arrivals import PROCESSES, Arrivals
from quickthaw_platform.traffic.columns import Floats, Ints
from quickthaw_platform.traffic.named import Published, Traffic
from quickthaw_platform.traffic.playing import play
from quickthaw_platform.traffic.prompts import Prompts
from quickthaw_platform.traffic.slo import Slo
from quickthaw_platform.traffic.traces.reading import read
from quickthaw_platform.traffic.traces.servegen import servegen
from quickthaw_platform.traffic.traces.trace import Trace

TIMEOUT_SECONDS = 300.0
MOMENT_SECONDS = 0.001
OTHER_RATE = 0.2
"""A draw whose rate is off the one that was asked for by more than this part is told."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How the tokens of requests are changed to suit a small machine: first scaled, then cut."""

    scale: float = 1.0
    most_in: int | None = None
    most_out: int | None = None

    def apply(self, column: Ints, most: int | None) -> Ints:
        """Return the changed numbers; none is below 1."""
        scaled = np.maximum(1, np.rint(column * self.scale)).astype(np.int64)
        return cast("Ints", scaled if most is None else np.minimum(scaled, most))


@dataclass(frozen=True, slots=True, eq=False)
class LoadPlan:
    """Requests in order of their intended send times, in seconds from the start of the run."""

    label: str
    synthetic: bool  # whether it stands for a published trace that is not here
    seed: int
    seconds: float  # for how long requests come
    times: Floats
    tokens_in: Ints
    tokens_out: Ints
    prompts: Prompts
    slo: Slo = field(default_factory=Slo)
    timeout: float = TIMEOUT_SECONDS  # of one request, from its intended send; it is a miss then
    trace_digest: str | None = None  # SHA-256 of the trace file
    notes: tuple[str, ...] = ()
    digest: str = field(default="", compare=False)  # SHA-256 of times and tokens

    def __len__(self) -> int:
        return len(self.times)

    @property
    def drawn(self) -> bool:
        """Whether the times were made, and not read from a trace of requests."""
        return self.trace_digest is None

    @property
    def rate(self) -> float:
        """Requests per second, as drawn."""
        return statistics.rate(self.times, self.seconds)

    @property
    def cv(self) -> float | None:
        """Coefficient of variation of the gaps, as drawn."""
        return statistics.cv_of_gaps(self.times)

    @property
    def fano(self) -> float | None:
        """Fano factor of the counts in bins of one second, as drawn."""
        return statistics.fano(self.times, self.seconds)

    def text(self, number: int) -> str:
        """Return the prompt of a request."""
        return self.prompts.text(number, int(self.tokens_in[number]))


def make_plan(
    traffic: Traffic, seconds: float, seed: int = 0, *, prompts: Prompts | None = None, slo: Slo | None = None,
    timeout: float = TIMEOUT_SECONDS, sizes: Sizes | None = None,
) -> LoadPlan:  # fmt: skip
    """Draw or read the requests of `seconds`; the same arguments give the same plan.

    It may be empty: at a low rate nothing may come in so short a time. SettingsInvalid says what is wrong with a trace.
    """
    if not 0 < seconds < float("inf"):
        raise SettingsInvalid(f"a run of {seconds} seconds: it must be longer than nothing, and end")
    sizes = sizes or Sizes()
    for_times, for_tokens = np.random.default_rng(seed).spawn(2)
    times, traced, digest, notes = _columns(traffic, seconds, for_times)
    drawn = [
        tokens.draw(wanted, for_tokens, column, len(times))
        for wanted, column in zip((traffic.tokens_in, traffic.tokens_out), traced, strict=True)
    ]
    tokens_in, tokens_out = sizes.apply(drawn[0], sizes.most_in), sizes.apply(drawn[1], sizes.most_out)
    return LoadPlan(
        traffic.label, traffic.synthetic, seed, seconds, times, tokens_in, tokens_out, prompts or Prompts(seed=seed),
        slo or Slo(), timeout, digest, (*traffic.notes, *notes), _digest(times, tokens_in, tokens_out),
    )  # fmt: skip


def alone(plan: LoadPlan, quantile: float = 0.5) -> LoadPlan:
    """Return a plan of one request, at once, of a quantile of the plan's sizes: to see what such a one takes alone."""
    tokens_in, tokens_out = (
        np.array([int(np.quantile(column, quantile))]) for column in (plan.tokens_in, plan.tokens_out)
    )
    return replace(
        plan, seconds=MOMENT_SECONDS, times=np.zeros(1), tokens_in=tokens_in, tokens_out=tokens_out,
        prompts=replace(plan.prompts, salt=f"alone-{quantile}"),
    )  # fmt: skip


_Traced = tuple[Ints | None, Ints | None]


def _columns(
    traffic: Traffic, seconds: float, rng: np.random.Generator
) -> tuple[Floats, _Traced, str | None, tuple[str, ...]]:
    arrivals = traffic.arrivals
    if traffic.stands_for is not None:
        trace = _drawn_trace(traffic.stands_for, rng)
        played = play(trace, seconds, rate=arrivals.rate, speed=arrivals.speed, offset=traffic.offset)
        return played.times, (None, None), None, played.notes
    if not arrivals.tells_tokens:
        if "trace" in (traffic.tokens_in, traffic.tokens_out):
            raise SettingsInvalid(f"{traffic.label} arrivals tell no numbers of tokens; give them")
        times = _until(_endless(arrivals, rng), seconds)
        return times, (None, None), None, _other_rate(arrivals, statistics.rate(times, seconds))
    trace = read(arrivals.kind, cast("Path", arrivals.path))
    played = play(trace, seconds, rate=arrivals.rate, speed=arrivals.speed, offset=arrivals.offset)
    columns = (trace.tokens_in[played.rows], trace.tokens_out[played.rows])
    return played.times, columns, trace.digest, (*trace.notes, *played.notes)


def _other_rate(arrivals: Arrivals, drawn: float) -> tuple[str, ...]:
    """Say it where by chance a draw of so short a run has another rate than was asked for."""
    asked = processes.mean_rate(arrivals)
    if arrivals.kind not in PROCESSES or abs(drawn / asked - 1) <= OTHER_RATE:
        return ()
    return (f"{drawn:.3g} requests/s were drawn, where {asked:.3g} were asked for: so short a run is left to chance",)


def _endless(arrivals: Arrivals, rng: np.random.Generator) -> Iterator[Floats]:
    if arrivals.kind == "servegen":
        return (column for column, _ in servegen(arrivals, None, rng))
    return processes.times(arrivals, rng)


def _drawn_trace(published: Published, rng: np.random.Generator) -> Trace:
    """Draw a trace as long as the published one, so that windows of it can be played as windows of that."""
    times = np.cumsum(processes.gaps(rng, 1 / published.rate, published.cv, published.count))
    nothing = np.zeros(published.count, np.int64)
    return Trace(times - times[0], nothing, nothing)


def _until(columns: Iterator[Floats], seconds: float) -> Floats:
    """Return the times before `seconds`."""
    found = []
    for column in columns:
        found.append(column[: np.searchsorted(column, seconds)])
        if len(column) and column[-1] >= seconds:
            break
    return np.concatenate(found)


def _digest(*columns: Floats | Ints) -> str:
    found = hashlib.sha256()
    for column in columns:
        found.update(column.tobytes())
    return found.hexdigest()
