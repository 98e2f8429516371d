"""Where calls and servers cost the same: the closed form of `renewal` at a price list's marginal prices."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quickthaw_platform.comparison.economics.renewal import PerRequest, per_request

Floats = NDArray[np.float64]

POINTS = 60
SPAN = 2000.0
"""The lowest rate that is looked at is the highest by this at most."""
SELDOM = 0.01
"""At the lowest rate an instance is there for this part of the time at most: no server is so cheap beside calls."""
FULL = 0.8
"""So full one instance may be before another is wanted."""


@dataclass(frozen=True)
class Price:
    """What an offer asks: by the second of an instance in each phase, of a request with a slot, and by request."""

    starting: float
    busy: float
    idle: float
    request_second: float = 0.0
    request: float = 0.0


@dataclass(frozen=True)
class Load:
    """What a request needs, in seconds: S warm, L for a start (and for the stop after it), T kept."""

    service: ArrayLike
    start: ArrayLike
    keep_alive: float
    cv: float


def most_rate(service: float, concurrency: int, slowdown: float = 0.0) -> float:
    """Return the requests per second that one instance serves with its slots 80% full.

    `slowdown` is the part by which each further stream lengthens a token's time.
    """
    return FULL * concurrency / (service * (1 + slowdown * (concurrency - 1)))


def rates_up_to(most: float, each: float = 0.0) -> Floats:
    """Return the rates of a curve, evenly spaced by their logarithms.

    `each` is how long an instance is there for one request that comes alone: its start, its service and the keep-alive.
    """
    lowest = min(most / SPAN, SELDOM / each if each else most)
    return np.geomspace(lowest, most, round(POINTS * math.log(most / lowest, SPAN)))


def stretched(rate: ArrayLike, alone: float, slowdown: float, crowding: float, concurrency: int) -> Floats:
    """Return the seconds of a request at each rate, where each stream beside it lengthens them by `slowdown`.

    `alone` is what it takes without others, `crowding` how many there are beside it by rate times seconds. Both hang on
    each other: S = alone (1 + slowdown crowding rate S). No more than `concurrency` share an instance.
    """
    most = alone * (1 + slowdown * (concurrency - 1))
    left = 1 - alone * slowdown * crowding * np.asarray(rate, dtype=np.float64)
    return np.asarray(np.minimum(most, np.divide(alone, left, out=np.full(left.shape, most), where=left > 0)))


def seconds_of_request(rate: ArrayLike, load: Load) -> PerRequest:
    """Return how one instance spends its time on calls; arrays broadcast."""
    return per_request(rate, load.cv, load.service, load.start, load.keep_alive)


def cost_of_request(used: PerRequest, service: ArrayLike, price: Price) -> Floats:
    """Return what a request costs that holds its slot for `service` seconds and uses an instance like this."""
    return np.asarray(
        used.starting * price.starting + used.busy * price.busy + used.idle * price.idle
        + np.asarray(service) * price.request_second + price.request
    )  # fmt: skip


def crossing(rates: Floats, calls: Floats, servers: float) -> float:
    """Return the lowest rate from which calls cost as much as servers that cost `servers` a second; infinite for none.

    `calls` is the cost of a request at each of the ascending `rates`. Between two of them both axes are taken as
    logarithms. 0 where calls cost more at the lowest rate already.
    """
    per_second = calls * rates
    above = np.flatnonzero(per_second >= servers)
    if not len(above):
        return np.inf
    first = int(above[0])
    if first == 0:
        return 0.0
    low, high = np.log(per_second[first - 1]), np.log(per_second[first])
    part = (np.log(servers) - low) / (high - low) if high > low else 1.0
    return float(rates[first - 1] * (rates[first] / rates[first - 1]) ** part)
