"""Which function is called when, with how many tokens: columns drawn from one seed: every policy sees the same."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from quickthaw_platform.simulator import traces
from quickthaw_platform.simulator.scenario import Arrivals, FunctionGroup, Lognormal, Scenario, Tokens
from quickthaw_platform.simulator.traces import Floats, Ints

CHUNK = 65_536
"""Calls that are drawn at once."""


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
    match arrivals.kind:
        case "poisson":
            yield from _drawn(scenario, rng, shares, _renewal(rng, _rate(arrivals), 1.0))
        case "gamma" if arrivals.of == "cluster":
            yield from _drawn(scenario, rng, shares, _renewal(rng, _rate(arrivals), arrivals.cv))
        case "gamma":
            yield from _of_functions(scenario, rng, shares, end)
        case "servegen":
            for times, functions in traces.servegen(arrivals, len(shares), rng):
                yield _with_tokens(scenario, rng, times, functions, None)
        case _:
            yield from _of_trace(scenario, rng, shares)


def _rate(arrivals: Arrivals) -> float:
    return (arrivals.rate or 1.0) * arrivals.rate_scale


def _gaps(rng: np.random.Generator, mean: float, cv: float, count: int) -> Floats:
    """Draw from the Gamma distribution with this mean and coefficient of variation (1: exponential)."""
    shape = cv**-2
    return rng.gamma(shape, mean / shape, count)


def _renewal(rng: np.random.Generator, rate: float, cv: float) -> Iterator[Floats]:
    now = 0.0
    while True:
        times = now + np.cumsum(_gaps(rng, 1 / rate, cv, CHUNK))
        now = float(times[-1])
        yield times


def _drawn(scenario: Scenario, rng: np.random.Generator, shares: Floats, times: Iterator[Floats]) -> Iterator[Calls]:
    edges = np.cumsum(shares)
    for column in times:
        functions = np.minimum(np.searchsorted(edges, rng.random(len(column)), side="right"), len(shares) - 1)
        yield _with_tokens(scenario, rng, column, functions, None)


def _of_functions(scenario: Scenario, rng: np.random.Generator, shares: Floats, end: float) -> Iterator[Calls]:
    """Each function's own Gamma process, all merged, a span of time after another."""
    rate = _rate(scenario.arrivals)
    span = CHUNK / rate
    following = np.array([_gaps(rng, 1 / (rate * share), scenario.arrivals.cv, 1)[0] for share in shares])
    begin = 0.0
    while begin < end:
        until = begin + span
        times, functions = [], []
        for function in np.flatnonzero(following < until):
            mean = 1 / (rate * shares[function])
            drawn = [np.array([following[function]])]
            while drawn[-1][-1] < until:
                more = _gaps(rng, mean, scenario.arrivals.cv, 16 + int(1.2 * span / mean))
                drawn.append(drawn[-1][-1] + np.cumsum(more))
            column = np.concatenate(drawn)
            inside = int(np.searchsorted(column, until))
            following[function] = column[inside]
            times.append(column[:inside])
            functions.append(np.full(inside, function))
        if times:
            yield _with_tokens(scenario, rng, *traces.merged(times, functions), None)
        begin = until


def _of_trace(scenario: Scenario, rng: np.random.Generator, shares: Floats) -> Iterator[Calls]:
    """Play a trace again, and once more from its start when it is over; functions are drawn by popularity."""
    trace = traces.read(scenario.arrivals)
    span = float(trace.times[-1]) + float(trace.times[-1]) / max(1, len(trace.times) - 1)
    rate = scenario.arrivals.rate
    speed = (1.0 if rate is None else rate * span / len(trace.times)) * scenario.arrivals.rate_scale
    begin = 0.0
    while True:
        functions = rng.choice(len(shares), len(trace.times), p=shares)
        yield _with_tokens(scenario, rng, (begin + trace.times) / speed, functions, trace)
        begin += span


def _with_tokens(
    scenario: Scenario,
    rng: np.random.Generator,
    times: Floats,
    functions: NDArray[np.integer],
    trace: traces.Trace | None,
) -> Calls:
    groups = np.repeat(np.arange(len(scenario.functions)), [group.count for group in scenario.functions])[functions]
    tokens_in, tokens_out = np.ones(len(times), np.int64), np.ones(len(times), np.int64)
    for number, group in enumerate(scenario.functions):
        where = np.flatnonzero(groups == number)
        if not len(where):
            continue
        tokens_in[where] = _tokens(group.tokens_in, rng, None if trace is None else trace.tokens_in[where], len(where))
        tokens_out[where] = _tokens(
            group.tokens_out, rng, None if trace is None else trace.tokens_out[where], len(where)
        )
    return Calls(times, functions.astype(np.int64), tokens_in, tokens_out)


def _tokens(wanted: Tokens, rng: np.random.Generator, traced: Ints | None, count: int) -> Ints:
    if isinstance(wanted, int):
        return np.full(count, wanted, np.int64)
    if isinstance(wanted, Lognormal):
        drawn = rng.lognormal(math.log(wanted.mean) - wanted.sigma**2 / 2, wanted.sigma, count)
        return np.clip(np.rint(drawn), 1, wanted.most).astype(np.int64)
    return np.ones(count, np.int64) if traced is None else np.maximum(traced, 1)
