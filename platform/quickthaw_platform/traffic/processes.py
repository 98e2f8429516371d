"""Processes of arrivals, drawn from a generator: each yields columns of rising times (seconds), without end. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from quickthaw_platform.traffic.arrivals import Arrivals
from quickthaw_platform.traffic.columns import Floats

CHUNK = 65_536
"""Requests that are drawn at once."""


def times(arrivals: Arrivals, rng: np.random.Generator) -> Iterator[Floats]:
    """Draw from the process that `arrivals` describes; ValueError where it is a trace."""
    rate = mean_rate(arrivals)
    match arrivals.kind:
        case "constant":
            return constant(rate)
        case "poisson":
            return renewal(rng, rate, 1.0)
        case "gamma":
            return renewal(rng, rate, arrivals.cv)
        case "bursts":
            return bursts(rng, rate, arrivals.on, arrivals.off)
        case "diurnal":
            return diurnal(rng, rate, arrivals.period, arrivals.depth)
        case _:
            raise ValueError(f"{arrivals.kind} arrivals are read, not drawn")


def mean_rate(arrivals: Arrivals) -> float:
    """Return the requests per second of a process."""
    return (arrivals.rate or 1.0) * arrivals.speed


def gaps(rng: np.random.Generator, mean: float, cv: float, count: int) -> Floats:
    """Draw from the Gamma distribution with this mean and coefficient of variation (1: exponential)."""
    shape = cv**-2
    return rng.gamma(shape, mean / shape, count)


def constant(rate: float) -> Iterator[Floats]:
    """Yield one request every 1 / `rate` seconds, the first at 0."""
    number = 0
    while True:
        yield np.arange(number, number + CHUNK) / rate
        number += CHUNK


def renewal(rng: np.random.Generator, rate: float, cv: float) -> Iterator[Floats]:
    """Yield a renewal process with Gamma gaps; with a `cv` of 1 it is Poisson."""
    now = 0.0
    while True:
        column = now + np.cumsum(gaps(rng, 1 / rate, cv, CHUNK))
        now = float(column[-1])
        yield column


def bursts(rng: np.random.Generator, rate: float, on: float, off: float) -> Iterator[Floats]:
    """Yield an interrupted Poisson process: it runs for `on` seconds and rests for `off`, in the mean.

    Both lengths are exponential, and while it runs its rate is `rate` · (on + off) / on, so that `rate` is the mean
    over all time. It begins with a burst.
    """
    within = rate * (on + off) / on
    at_once = 1 + int(CHUNK / (within * on + 1))
    begin = 0.0
    while True:
        lengths, rests = rng.exponential(on, at_once), rng.exponential(off, at_once)
        starts = begin + np.concatenate([[0.0], np.cumsum(lengths + rests)])
        counts = rng.poisson(lengths * within)
        places = rng.random(int(counts.sum())) * np.repeat(lengths, counts)
        yield np.sort(np.repeat(starts[:-1], counts) + places)
        begin = float(starts[-1])


def diurnal(rng: np.random.Generator, rate: float, period: float, depth: float) -> Iterator[Floats]:
    """Yield a Poisson process whose rate is `rate` · (1 + depth · sin(2π t / period)), by thinning a faster one."""
    for column in renewal(rng, rate * (1 + depth), 1.0):
        height = (1 + depth * np.sin(2 * math.pi * column / period)) / (1 + depth)
        yield column[rng.random(len(column)) < height]
