"""Break-even curves, surfaces and the best base of a hybrid: closed forms at the run's own service and start times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from quickthaw_platform.comparison.costs import replicas
from quickthaw_platform.comparison.economics import hybrid
from quickthaw_platform.comparison.economics.break_even import (
    Load,
    Price,
    cost_of_request,
    crossing,
    most_rate,
    rates_up_to,
    seconds_of_request,
)
from quickthaw_platform.comparison.economics.renewal import PerRequest
from quickthaw_platform.comparison.estimates import Estimate
from quickthaw_platform.comparison.exhibits import BaseChoice, BreakEven, CostPoint, Hybrid, Surface
from quickthaw_platform.comparison.matrices import Matrices
from quickthaw_platform.comparison.measuring import Measuring
from quickthaw_platform.comparison.offers import Pair
from quickthaw_platform.comparison.recording import SimulatedPoint
from quickthaw_platform.comparison.report import Row
from quickthaw_platform.comparison.using import DRAINING, mean_of, start_seconds, used

Floats = NDArray[np.float64]

SAMPLES = 200
"""Of the bootstrap, for the interval of a curve."""
CVS = (0.5, 1.0, 2.0, 4.0, 8.0)
STEP_SECONDS = 0.1
"""In which a hybrid's demand is counted."""
MOST_BASE = 8
WIDE = 0.95


@dataclass(frozen=True)
class Needs:
    """What a request needs of an instance, as the run measured it, with replicates for the intervals."""

    backend: str  # whose requests these are
    service: Estimate
    services: Floats
    start: Estimate  # with the stop after it
    starts: Floats
    most_rate: float

    @property
    def rates(self) -> Floats:
        """The rates of a curve."""
        return rates_up_to(self.most_rate)


def needs(measuring: Measuring, seed: int) -> Needs | None:
    """Return the mean seconds of a warm request in its slot, and of a start; None where no request was warm.

    They are those of the serverless backend, or of the first that was measured where there is none. Where no start was
    seen, the run's calibration tells how long one takes; where that knows nothing either, a start is taken for free.
    """
    measured = sorted(measuring.measured(), key=lambda one: one.kind != "serverless")
    for backend in measured:
        matrices = measuring.backends[backend.name]
        warm = np.where(matrices.cold == 1.0, np.nan, matrices.held)
        if np.nanmax(warm, initial=0.0) > 0:
            break
    else:
        return None
    replicates = measuring.resampling.mean(warm, backend.name)[:SAMPLES]
    mean = float(np.nanmean(warm))
    service = measuring.resampling.estimate(mean, replicates, int((~np.isnan(warm)).sum()))
    start, starts = _start(measuring, backend.name, seed)
    instance, calibration = measuring.recording.instance, measuring.recording.calibration
    slowdown = 0.0 if calibration is None else calibration.slowdown_per_stream
    known = np.where(np.isnan(replicates), mean, replicates)
    return Needs(backend.name, service, known, start, starts, most_rate(mean, instance.concurrency, slowdown))


def _start(measuring: Measuring, name: str, seed: int) -> tuple[Estimate, Floats]:
    seen = start_seconds(measuring.results(name))
    found, calibration = used(measuring, name), measuring.recording.calibration
    stop = found.of(DRAINING) / len(seen) if seen and found is not None else 0.0
    if not seen:
        known = list(calibration.start_seconds.values()) if calibration is not None else []
        value = (sum(known) / len(known) if known else 0.0) + (calibration.stop if calibration is not None else 0.0)
        return Estimate(value=value), np.full(SAMPLES, value)
    return mean_of([seconds + stop for seconds in seen], seed, SAMPLES)


@dataclass(frozen=True)
class Forms:
    """How an instance spends its time at each rate, whatever it costs: here, its replicates, and by CV."""

    rates: Floats
    here: PerRequest
    samples: PerRequest  # one row a replicate
    by_cv: list[PerRequest]


def forms(measuring: Measuring, need: Needs) -> Forms:
    """Compute the closed forms at what the run measured."""
    cv, kept, rates = measuring.recording.arrivals.cv or 1.0, measuring.recording.instance.keep_alive, need.rates
    service, start = need.service.value or 0.0, need.start.value or 0.0
    return Forms(
        rates,
        seconds_of_request(rates, Load(service, start, kept, cv)),
        seconds_of_request(rates, Load(need.services[:, None], need.starts[:, None], kept, cv)),
        [seconds_of_request(rates, Load(service, start, kept, other)) for other in CVS],
    )


def _price(pair: Pair) -> Price:
    price = pair.calls.marginal
    return Price(price.starting, price.busy, price.idle, price.request_second, price.request)


def break_even(
    measuring: Measuring, pair: Pair, need: Needs, form: Forms, rows: Sequence[Row], count: int
) -> BreakEven:  # fmt: skip
    """Return the curves of a pair of offers with what was measured and simulated; `count` instances are always on."""
    run, price, rates, servers = measuring.recording, _price(pair), form.rates, count * pair.always_on
    calls = cost_of_request(form.here, need.service.value or 0.0, price)
    samples = cost_of_request(form.samples, need.services[:, None], price)
    low, high = np.quantile(samples, ((1 - WIDE) / 2, (1 + WIDE) / 2), axis=0)
    return BreakEven(
        title=pair.title,
        serverless_offer=pair.calls.offer.id,
        serverful_offer=pair.servers.offer.id,
        cv=run.arrivals.cv or 1.0,
        keep_alive=run.instance.keep_alive,
        service_seconds=need.service,
        start_seconds=need.start,
        replicas=count,
        rates=rates.tolist(),
        serverless=(1000 * calls).tolist(),
        low=(1000 * np.minimum(low, calls)).tolist(),
        high=(1000 * np.maximum(high, calls)).tolist(),
        serverful=(1000 * servers / rates).tolist(),
        crossing=_crossing(rates, calls, samples, servers),
        always=_always(rates, calls, servers),
        most_rate=need.most_rate,
        points=_points(measuring, pair, rows),
    )


def _points(measuring: Measuring, pair: Pair, rows: Sequence[Row]) -> list[CostPoint]:
    simulated = [_simulated(pair, point, rows) for point in measuring.recorded.simulated]
    return _measured(measuring, pair, rows) + simulated


def _crossing(rates: Floats, calls: Floats, samples: Floats, servers: float) -> Estimate:
    """Return the rate of equal cost. Where some replicates do not cross, the interval ends at the last rate."""
    value = crossing(rates, calls, servers)
    if not 0 < value < np.inf:
        return Estimate()
    found = np.minimum([crossing(rates, sample, servers) for sample in samples], rates[-1])
    low, high = np.quantile(found, ((1 - WIDE) / 2, (1 + WIDE) / 2))
    return Estimate(value=value, low=min(float(low), value), high=max(float(high), value), count=len(found))


def _always(rates: Floats, calls: Floats, servers: float) -> Literal["serverless", "serverful"] | None:
    value = crossing(rates, calls, servers)
    return "serverless" if value == np.inf else "serverful" if value == 0 else None


def _measured(measuring: Measuring, pair: Pair, rows: Sequence[Row]) -> list[CostPoint]:
    found = []
    for row in rows:
        offer = pair.calls.offer.id if row.kind in ("serverless", "hybrid") else pair.servers.offer.id
        found += [
            CostPoint(
                label=row.backend, backend=row.backend, kind=row.kind, rate=rate,
                per_thousand_requests=cost.per_thousand_requests, saturated=row.steadiness.saturated,
            )
            for cost in row.costs
            if cost.offer == offer
            for rate in [_rate(measuring, row)]
            if rate > 0
        ]  # fmt: skip
    return found


def _rate(measuring: Measuring, row: Row) -> float:
    return row.requests / (len(measuring.backends[row.backend].repeats) * measuring.seconds)


def _simulated(pair: Pair, point: SimulatedPoint, rows: Sequence[Row]) -> CostPoint:
    """Return what a simulated point would cost: its instance-seconds of an hour at marginal prices."""
    return CostPoint(
        label=point.label or point.backend, backend=point.backend, kind=point.kind, rate=point.rate,
        per_thousand_requests=Estimate(value=1000 * simulated_cost(pair, point, rows), count=point.requests),
        simulated=True,
    )  # fmt: skip


def simulated_cost(pair: Pair, point: SimulatedPoint, rows: Sequence[Row]) -> float:
    """Return what a request costs at a simulated point, in USD.

    Where requests are billed singly, each is billed for as long as it has its slot; where the simulation does not tell
    that, for as long as the measured ones took.
    """
    price, hour, requests = pair.calls.marginal, point.seconds_by_phase, 3600 * point.rate
    if point.kind in ("serverful", "endpoint"):
        return max(1, point.always_on) * pair.always_on / point.rate
    kept = 3600.0 * point.always_on
    beyond = max(0.0, sum(hour.values()) - kept) / max(sum(hour.values()), 1e-12)
    prices = {"starting": price.starting, "serving": price.busy, "idle": price.idle}
    by_use = beyond * sum(seconds * prices.get(phase, price.draining) for phase, seconds in hour.items())
    warm = next((found for row in rows if row.backend == point.backend for found in [row.latency("e2e", "warm")]), None)
    measured = 0.0 if warm is None else warm.mean.value or 0.0
    held = measured if point.held_mean is None else point.held_mean
    return (by_use + kept * pair.always_on) / requests + held * price.request_second + price.request


def surface(measuring: Measuring, pair: Pair, need: Needs, form: Forms, count: int) -> Surface:
    """Return serverless by serverful cost over rate and burstiness, with all else as in the run."""
    rates, servers, price = form.rates, count * pair.always_on, _price(pair)
    calls = [cost_of_request(used_, need.service.value or 0.0, price) for used_ in form.by_cv]
    found = [crossing(rates, costs, servers) for costs in calls]
    arrivals = measuring.recording.arrivals
    return Surface(
        title=pair.title, serverless_offer=pair.calls.offer.id, serverful_offer=pair.servers.offer.id,
        rates=rates.tolist(), cvs=list(CVS), ratio=[(costs * rates / servers).tolist() for costs in calls],
        crossings=[rate if 0 < rate < np.inf else None for rate in found], here_rate=arrivals.rate, here_cv=arrivals.cv,
    )  # fmt: skip


def best_base(measuring: Measuring, pair: Pair, need: Needs) -> Hybrid | None:
    """Return what each base of always-on instances would cost, at the demand of the run's requests over time."""
    of = next((one for one in measuring.measured() if one.kind == "serverful"), None)
    name = need.backend if of is None else of.name
    matrices, instance, price = measuring.backends[name], measuring.recording.instance, pair.calls.marginal
    if not matrices.answered:
        return None
    step = max(STEP_SECONDS, measuring.seconds / 100_000)
    demand = _demand(matrices, measuring.seconds, step, instance.concurrency)
    most = min(MOST_BASE, max(int(block.max(initial=0)) for block in demand) + 1)
    whole = max(step, sum(float(block.sum()) for block in demand) * step)
    held = float(np.nanmean(matrices.held)) * price.request_second + price.request
    figures: list[tuple[int, float, float]] = []
    for base in range(most + 1):
        beyond = [hybrid.overflow(block, base, instance.keep_alive, step) for block in demand]
        share = sum(one.needed for one in beyond) / whole
        cost = base * pair.always_on * measuring.seconds * len(demand) + share * matrices.answered * held
        cost += sum(
            one.needed * price.busy + one.kept * price.idle + one.starts * (need.start.value or 0.0) * price.starting
            for one in beyond
        )
        figures.append((base, 1000 * cost / matrices.answered, share))
    best = min(figures, key=lambda figure: figure[1])[0]
    return Hybrid(
        title=pair.title, serverless_offer=pair.calls.offer.id, serverful_offer=pair.servers.offer.id, demand_of=name,
        choices=[
            BaseChoice(base=base, per_thousand_requests=cost, best=base == best, overflow_share=share)
            for base, cost, share in figures
        ],
    )  # fmt: skip


def _demand(matrices: Matrices, seconds: float, step: float, concurrency: int) -> list[hybrid.Ints]:
    """Return how many instances each block's requests needed over time: each from when it got its slot to its end."""
    ends = np.broadcast_to(matrices.times, matrices.e2e.shape) + matrices.e2e
    begins = ends - matrices.held
    return [
        hybrid.wanted(begins[row][known], ends[row][known], seconds, step, concurrency)
        for row, known in enumerate(~np.isnan(matrices.e2e))
    ]


def counted_replicas(measuring: Measuring) -> int:
    """Return how many always-on instances serverless is compared with: those of the first serverful backend, or one."""
    return next((replicas(one) for one in measuring.recording.backends if one.kind == "serverful"), 1)
