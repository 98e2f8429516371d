"""Break-even curves and surfaces: closed forms at the run's own service and start times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from quickthaw_platform.comparison.cost_points import cost_points
from quickthaw_platform.comparison.costs import replicas
from quickthaw_platform.comparison.economics.break_even import (
    Load,
    Price,
    cost_of_request,
    crossing,
    seconds_of_request,
)
from quickthaw_platform.comparison.economics.renewal import PerRequest
from quickthaw_platform.comparison.estimates import Estimate
from quickthaw_platform.comparison.exhibits import BreakEven, Surface
from quickthaw_platform.comparison.measuring import Measuring
from quickthaw_platform.comparison.needs import Needs
from quickthaw_platform.comparison.offers import Pair
from quickthaw_platform.comparison.report import Row

Floats = NDArray[np.float64]

CVS = (0.5, 1.0, 2.0, 4.0, 8.0)
WIDE = 0.95


@dataclass(frozen=True)
class Forms:
    """How an instance spends its time at each rate, whatever it costs: here, its replicates, and by CV."""

    rates: Floats
    here: PerRequest
    samples: PerRequest  # one row a replicate
    by_cv: list[PerRequest]


def forms(measuring: Measuring, need: Needs) -> Forms:
    """Compute the closed forms at what the run measured."""
    cv, kept, rates = _cv(measuring), measuring.recording.instance.keep_alive, need.rates
    service, services, start = _service(need), _services(need), need.start.value or 0.0
    return Forms(
        rates,
        seconds_of_request(rates, Load(service, start, kept, cv)),
        seconds_of_request(rates, Load(services, need.starts[:, None], kept, cv)),
        [seconds_of_request(rates, Load(service, start, kept, other)) for other in CVS],
    )


def _cv(measuring: Measuring) -> float:
    """Return the burstiness of the run; too few gaps have none, and are taken for a Poisson process."""
    found = measuring.recording.arrivals.cv
    return 1.0 if found is None else found


def _service(need: Needs) -> Floats:
    """Return the seconds of a request at each rate: the more of them share an instance, the longer each takes."""
    return np.asarray((need.service.value or 0.0) * need.stretch)


def _services(need: Needs) -> Floats:
    """Return the same of each replicate, one row each."""
    return np.asarray(need.services[:, None] * need.stretch)


def _price(pair: Pair) -> Price:
    price = pair.calls.marginal
    return Price(price.starting, price.busy, price.idle, price.request_second, price.request)


def break_even(
    measuring: Measuring, pair: Pair, need: Needs, form: Forms, rows: Sequence[Row], count: int
) -> BreakEven:  # fmt: skip
    """Return the curves of a pair of offers with what was measured and simulated; `count` instances are always on."""
    run, price, rates, servers = measuring.recording, _price(pair), form.rates, count * pair.always_on
    calls = cost_of_request(form.here, _service(need), price)
    samples = cost_of_request(form.samples, _services(need), price)
    low, high = np.quantile(samples, ((1 - WIDE) / 2, (1 + WIDE) / 2), axis=0)
    return BreakEven(
        title=pair.title,
        serverless_offer=pair.calls.offer.id,
        serverful_offer=pair.servers.offer.id,
        cv=_cv(measuring),
        keep_alive=run.instance.keep_alive,
        service_seconds=need.service,
        start_seconds=need.start,
        replicas=count,
        rates=rates.tolist(),
        serverless=(1000 * calls).tolist(),
        low=(1000 * np.minimum(low, calls)).tolist(),
        high=(1000 * np.maximum(high, calls)).tolist(),
        serverful=(1000 * servers / rates).tolist(),
        crossing=_crossing(rates, calls, samples, servers, need.service.count),
        always=_always(rates, calls, servers),
        most_rate=need.most_rate,
        points=cost_points(measuring, pair, rows),
    )


def _crossing(rates: Floats, calls: Floats, samples: Floats, servers: float, count: int) -> Estimate:
    """Return the rate of equal cost. Where some replicates do not cross, the interval ends with the rates.

    There is none where the service time is that of one request.
    """
    value = crossing(rates, calls, servers)
    if not 0 < value < np.inf:
        return Estimate()
    if count < 2:
        return Estimate(value=value, count=count)
    found = np.clip([crossing(rates, sample, servers) for sample in samples], rates[0], rates[-1])
    low, high = np.quantile(found, ((1 - WIDE) / 2, (1 + WIDE) / 2))
    return Estimate(value=value, low=min(float(low), value), high=max(float(high), value), count=len(found))


def _always(rates: Floats, calls: Floats, servers: float) -> Literal["serverless", "serverful"] | None:
    value = crossing(rates, calls, servers)
    return "serverless" if value == np.inf else "serverful" if value == 0 else None


def surface(measuring: Measuring, pair: Pair, need: Needs, form: Forms, count: int) -> Surface:
    """Return serverless by serverful cost over rate and burstiness, with all else as in the run."""
    rates, servers, price = form.rates, count * pair.always_on, _price(pair)
    calls = [cost_of_request(used_, _service(need), price) for used_ in form.by_cv]
    found = [crossing(rates, costs, servers) for costs in calls]
    arrivals = measuring.recording.arrivals
    return Surface(
        title=pair.title, serverless_offer=pair.calls.offer.id, serverful_offer=pair.servers.offer.id,
        rates=rates.tolist(), cvs=list(CVS), ratio=[(costs * rates / servers).tolist() for costs in calls],
        crossings=[rate if 0 < rate < np.inf else None for rate in found], here_rate=arrivals.rate, here_cv=arrivals.cv,
    )  # fmt: skip


def counted_replicas(measuring: Measuring) -> int:
    """Return how many always-on instances serverless is compared with: those of the first serverful backend, or one."""
    return next((replicas(one) for one in measuring.recording.backends if one.kind == "serverful"), 1)
