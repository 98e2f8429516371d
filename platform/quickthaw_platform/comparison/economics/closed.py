"""Closed forms that can be checked with a pocket calculator, and which the general one (`renewal`) must meet."""

from __future__ import annotations

import math

from scipy.special import gammainc, gammaincc


def seconds_of_request(
    rate: float, service: float, start: float, keep_alive: float, cv: float = 1.0
) -> float:  # fmt: skip
    """Return S + P(gap > T) L + E[min(gap, T)], T being `keep_alive`, for gaps with this rate and CV.

    The gap counts from the end of service to the next request, as keep-alive does. Here the gap between arrivals stands
    for it, so this holds where service and start are short beside the gaps; `renewal.per_request` holds beyond. It is
    exact for Poisson arrivals that never overlap, because an exponential gap forgets how long it has lasted.
    """
    shape = 1 / cv**2
    scaled = keep_alive * rate * shape
    gone = float(gammaincc(shape, scaled))
    idle = float(gammainc(shape + 1, scaled)) / rate + keep_alive * gone
    return service + gone * start + idle


def poisson_together(rate: float, service: float, start: float, keep_alive: float) -> tuple[float, float, float]:
    """Return seconds of a request that are starting, busy, idle: Poisson arrivals, all served at once (M/D/infinity).

    A cycle begins when a request finds the instance without work. With probability q = exp(-rate T) it is gone and
    starts for L. Then it is busy, on average for (exp(rate S) - 1) / rate seconds. By Wald's identity a
    cycle has rate times its own length of requests: rate q L + exp(rate S).
    """
    gone = math.exp(-rate * keep_alive)
    requests = rate * gone * start + math.exp(rate * service)
    return gone * start / requests, math.expm1(rate * service) / rate / requests, (1 - gone) / rate / requests


def poisson_one_by_one(rate: float, service: float, start: float, keep_alive: float) -> tuple[float, float, float]:
    """Return the same where requests are served one at a time and queue: M/G/1 with set-up (Welch 1964).

    The cycle is as above; each of its requests keeps the instance busy for S, so that it has
    (1 + rate q L) / (1 - rate S) of them. ValueError where rate S is not below 1: the queue would never end.
    """
    if rate * service >= 1:
        raise ValueError(f"{rate} requests/s of {service} s each are more than one instance can serve one by one")
    gone = math.exp(-rate * keep_alive)
    requests = (1 + rate * gone * start) / (1 - rate * service)
    return gone * start / requests, service, (1 - gone) / rate / requests


def cost_always_on(rate: float, price: float, replicas: int = 1) -> float:
    """Return N p / rate: what a request costs on N instances that are always on, at p per instance-second."""
    return replicas * price / rate
