"""Which function is called when, with how many tokens: columns drawn from one seed: every policy sees the same."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from quickthaw_platform.errors import SettingsInvalid
from quickthaw_platform.simulator.scenario import FunctionGroup, Scenario
from quickthaw_platform.traffic import processes, tokens
from quickthaw_platform.traffic.arrivals import PROCESSES
from quickthaw_platform.traffic.columns import Floats, Ints
from quickthaw_platform.traffic.processes import CHUNK, gaps
from quickthaw_platform.traffic.traces.reading import read
from quickthaw_platform.traffic.traces.servegen import merged, servegen
from quickthaw_platform.traffic.traces.trace import Trace


@dataclass(frozen=True, slots=True)
class Calls:
    """Some calls, in order of time."""

    times: Floats  # seconds
    functions: Ints  # index into Scenario.function_names()
    tokens_in: Ints
    tokens_out: Ints

    def __len__(self) -> int:
        return len(self.times)

    def first(self, count: int) -> Calls:
        """Return the first of them."""
        return Calls(self.times[:count], self.functions[:count], self.tokens_in[:count], self.tokens_out[:count])

    def behind(self, time: float) -> Calls:
        """Return those from `time` on."""
        at = int(np.searchsorted(self.times, time))
        return Calls(self.times[at:], self.functions[at:], self.tokens_in[at:], self.tokens_out[at:])


def calls(scenario: Scenario, seed: int | None = None) -> Iterator[Calls]:
    """Yield the scenario's calls, the same each time; SettingsInvalid where its trace cannot be read."""
    rng = np.random.default_rng(scenario.seed if seed is None else seed)
    left = math.inf if scenario.invocations is None else scenario.invocations
    end = math.inf if scenario.duration is None else scenario.duration
    for chunk in _chunks(scenario, rng, end):
        inside = int(np.searchsorted(chunk.times, end))
        count = int(min(inside, left))
        yield chunk.first(count)
        left -= count
        if left <= 0 or inside < len(chunk):
            return


def popularity(groups: list[FunctionGroup]) -> Floats:
    """Return each function's share of the calls; within a group by Zipf's law, the first being called most."""
    parts = []
    for group in groups:
        weights = np.arange(1, group.count + 1, dtype=float) ** -group.zipf
        parts.append(weights / weights.sum() * (group.count if group.share is None else group.share))
    found = np.concatenate(parts)
    return cast("Floats", found / found.sum())


def _chunks(scenario: Scenario, rng: np.random.Generator, end: float) -> Iterator[Calls]:
    arrivals = scenario.arrivals
    shares = popularity(scenario.functions)
    if arrivals.kind == "gamma" and arrivals.of == "function":
        yield from _of_functions(scenario, rng, shares, end)
    elif arrivals.kind in PROCESSES:
        yield from _drawn(scenario, rng, shares, processes.times(arrivals, rng))
    elif arrivals.kind == "servegen":
        for times, functions in servegen(arrivals, len(shares), rng):
            yield _with_tokens(scenario, rng, times, functions, None)
    else:
        yield from _of_trace(scenario, rng, shares)


def _drawn(scenario: Scenario, rng: np.random.Generator, shares: Floats, times: Iterator[Floats]) -> Iterator[Calls]:
    edges = np.cumsum(shares)
    for column in times:
        functions = np.minimum(np.searchsorted(edges, rng.random(len(column)), side="right"), len(shares) - 1)
        yield _with_tokens(scenario, rng, column, functions, None)


def _of_functions(scenario: Scenario, rng: np.random.Generator, shares: Floats, end: float) -> Iterator[Calls]:
    """Each function's own Gamma process, all merged, a span of time after another."""
    rate = processes.mean_rate(scenario.arrivals)
    span = CHUNK / rate
    following = np.array([gaps(rng, 1 / (rate * share), scenario.arrivals.cv, 1)[0] for share in shares])
    begin = 0.0
    while begin < end:
        until = begin + span
        times, functions = [], []
        for function in np.flatnonzero(following < until):
            mean = 1 / (rate * shares[function])
            drawn = [np.array([following[function]])]
            while drawn[-1][-1] < until:
                more = gaps(rng, mean, scenario.arrivals.cv, 16 + int(1.2 * span / mean))
                drawn.append(drawn[-1][-1] + np.cumsum(more))
            column = np.concatenate(drawn)
            inside = int(np.searchsorted(column, until))
            following[function] = column[inside]
            times.append(column[:inside])
            functions.append(np.full(inside, function))
        if times:
            yield _with_tokens(scenario, rng, *merged(times, functions), None)
        begin = until


def _of_trace(scenario: Scenario, rng: np.random.Generator, shares: Floats) -> Iterator[Calls]:
    """Play a trace again, and once more from its start when it is over; functions are drawn by popularity."""
    arrivals = scenario.arrivals
    trace = read(arrivals.kind, cast("Path", arrivals.path))
    if trace.rate is None:
        raise SettingsInvalid(f"{arrivals.path} has fewer than two calls, or all at the same time")
    speed = (1.0 if arrivals.rate is None else arrivals.rate / trace.rate) * arrivals.speed
    begin = -(arrivals.offset or 0.0)
    while True:
        functions = rng.choice(len(shares), len(trace), p=shares)
        chunk = _with_tokens(scenario, rng, (begin + trace.times) / speed, functions, trace)
        yield chunk.behind(0.0) if begin < 0 else chunk
        begin += trace.span


def _with_tokens(
    scenario: Scenario,
    rng: np.random.Generator,
    times: Floats,
    functions: NDArray[np.integer],
    trace: Trace | None,
) -> Calls:
    groups = np.repeat(np.arange(len(scenario.functions)), [group.count for group in scenario.functions])[functions]
    traced = (None, None) if trace is None else (trace.tokens_in, trace.tokens_out)
    tokens_in, tokens_out = np.ones(len(times), np.int64), np.ones(len(times), np.int64)
    for number, group in enumerate(scenario.functions):
        where = np.flatnonzero(groups == number)
        if not len(where):
            continue
        tokens_in[where], tokens_out[where] = (
            tokens.draw(wanted, rng, None if column is None else column[where], len(where))
            for wanted, column in ((group.tokens_in, traced[0]), (group.tokens_out, traced[1]))
        )
    return Calls(times, functions.astype(np.int64), tokens_in, tokens_out)
