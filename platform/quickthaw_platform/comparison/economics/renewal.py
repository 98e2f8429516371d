"""How an instance that is kept for a while spends its time, when requests come by a renewal process.

What is assumed: one instance at most, with room for all requests at once, so that nobody queues but for a start; a
request keeps it busy for S seconds, a start takes L, and an idle instance is kept for T (tau) seconds and then gone
at once; the gaps G between requests are independent and alike, here gamma with a coefficient of variation (1:
exponential, a Poisson process).

Derivation. A request that finds the instance warm at time 0 makes it busy until S at least. The next one comes at G.
If G > S + T the instance has gone, and the request is cold. Until then it was busy for min(G, S) and idle for min(G,
S + T) - min(G, S). So keep-alive counts from the *end* of service, and the gap from arrival to arrival. A cold
request starts an instance; those that come during the L seconds of the start wait with it, and all are served at L.
The time R from L to the next arrival after it plays the part of the gap then; its distribution follows from the
expected number of arrivals u(t) dt in the start (the renewal density): P(R > y) = F'(L + y) + integral of u(t) F'(L -
t + y) over t in [0, L], F' being P(G > .). From one start to the next there are 1 + E[N] requests in the start and,
with probability 1 - P(R > S + T), as many warm ones as a geometric with the mean 1 / P(G > S + T). Everything per
request is the ratio of the expectations over that cycle (renewal reward). For small S and L it is what is usually
written: S + P(gap > T) L + E[min(gap, T)] of the gap from the end of service to the next request
(`closed.seconds_of_request`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammainc

Floats = NDArray[np.float64]

STEPS = 64
"""Of a start, in which arrivals are counted: within 0.5% of the exact form of Poisson up to 15 requests in a start."""
LEAST_CV = 0.02
"""A steadier process is taken for one of this: gaps of the same length have no density."""
LEAST_CHANCE = 1e-300


@dataclass(frozen=True)
class Gaps:
    """Gamma-distributed gaps between requests; arrays of rates (requests per second) and CVs that broadcast."""

    rate: Floats
    cv: Floats

    @property
    def shape(self) -> Floats:
        """Of the gamma distribution: 1 / CV^2."""
        return np.asarray(1 / np.maximum(self.cv, LEAST_CV) ** 2)

    def longer(self, seconds: Floats) -> Floats:
        """Return P(G > seconds), down to 1e-16: scipy's own function keeps more, and takes 30 times as long."""
        return np.asarray(1 - gammainc(self.shape, self._scaled(seconds)))

    def shorter(self, seconds: Floats) -> Floats:
        """Return P(G <= seconds)."""
        return np.asarray(gammainc(self.shape, self._scaled(seconds)))

    def limited(self, seconds: Floats) -> Floats:
        """Return E[min(G, seconds)]."""
        within = gammainc(self.shape + 1, self._scaled(seconds)) / self.rate
        return np.asarray(within + np.maximum(seconds, 0) * self.longer(seconds))

    def _scaled(self, seconds: Floats) -> Floats:
        return np.asarray(np.maximum(seconds, 0) * self.rate * self.shape)


@dataclass(frozen=True)
class PerRequest:
    """Means of one request: instance-seconds of each phase, starts, and the part of requests that wait for one."""

    starts: Floats
    starting: Floats
    busy: Floats
    idle: Floats
    cold: Floats

    @property
    def seconds(self) -> Floats:
        """Instance-seconds in all."""
        return self.starting + self.busy + self.idle


def per_request(
    rate: ArrayLike, cv: ArrayLike, service: ArrayLike, start: ArrayLike, keep_alive: ArrayLike
) -> PerRequest:  # fmt: skip
    """Return how one instance at most spends its time, by the module's formulas; all arguments broadcast.

    `rate` is in requests per second and positive, the others in seconds (`cv` has no unit) and not negative.
    """
    given = np.broadcast_arrays(
        *(np.asarray(value, dtype=np.float64) for value in (rate, cv, service, start, keep_alive))
    )
    shape = given[0].shape
    gaps = Gaps(given[0].reshape(-1, 1), given[1].reshape(-1, 1))
    service_, start_, kept = (value.reshape(-1, 1) for value in given[2:])
    at, weights = _arrivals_of_start(gaps, start_)
    left = start_ - at  # from an arrival to the end of the start

    def after(seconds: Floats) -> Floats:
        """Return E[min(R, seconds)]."""
        return _sum(weights * (gaps.limited(left + seconds) - gaps.limited(left)))

    again = np.minimum(_sum(weights * gaps.longer(left + service_ + kept)), 1.0)
    lost = np.maximum(gaps.longer(service_ + kept), LEAST_CHANCE)
    gathered = _sum(weights)
    requests = lost * gathered + (1 - again)
    busy = lost * after(service_) + (1 - again) * gaps.limited(service_)
    present = lost * after(service_ + kept) + (1 - again) * gaps.limited(service_ + kept)
    found = (lost, lost * start_, busy, present - busy, lost * gathered)
    return PerRequest(*((part / requests).reshape(shape) for part in found))


def _arrivals_of_start(gaps: Gaps, start: Floats) -> tuple[Floats, Floats]:
    """Return moments of a start and how many requests are expected to come at each; the first has the cold one itself.

    Gaps are rounded to whole steps. The rounding is made up for by what must hold: P(R > 0) = 1.
    """
    step = start / STEPS
    at = np.arange(STEPS + 1) * step
    edges = gaps.shorter(np.concatenate([at + step / 2], axis=1))
    masses = np.diff(edges, axis=1, prepend=0.0)
    none = np.maximum(1 - masses[:, :1], 1e-12)  # a gap that is not rounded to nothing
    density = np.zeros_like(masses)
    density[:, :1] = masses[:, :1] / none
    for n in range(1, STEPS + 1):
        before = (masses[:, 1 : n + 1] * density[:, n - 1 :: -1][:, :n]).sum(axis=1)
        density[:, n] = (masses[:, n] + before) / none[:, 0]
    density[:, 0] += 1
    density[:, STEPS] /= 2  # the other half comes after the start
    return at, density / _sum(density * gaps.longer(start - at))


def _sum(values: Floats) -> Floats:
    return np.asarray(values.sum(axis=1, keepdims=True))
