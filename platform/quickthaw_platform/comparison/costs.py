"""What the traffic of a run costs on each backend, by each offer."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quickthaw_platform.comparison import offers
from quickthaw_platform.comparison.estimates import Estimate
from quickthaw_platform.comparison.measuring import Measuring
from quickthaw_platform.comparison.offers import Priced
from quickthaw_platform.comparison.recording import Backend
from quickthaw_platform.comparison.report import Cost
from quickthaw_platform.comparison.steadiness import steadiness
from quickthaw_platform.comparison.using import BUSY, DRAINING, IDLE, STARTING, Used, start_seconds, used
from quickthaw_platform.prices.consumption import Consumption, InstanceSpan
from quickthaw_platform.prices.figure import READ
from quickthaw_platform.prices.tokens import TokenOffer
from quickthaw_platform.prices.units import MONTH_SECONDS

Floats = NDArray[np.float64]

MILLION = 1e6


def costs(measuring: Measuring, backend: Backend, priced: Sequence[Priced]) -> list[Cost]:
    """Return what a backend costs by each offer that suits it; nothing where it was not metered or nothing was sent.

    Serverless is billed by serverless offers; serverful and endpoints by servers and by what serverless offers ask for
    instances that are always on; hybrid by serverless offers that have both prices.
    """
    found = used(measuring, backend.name)
    if found is None:
        return []
    use = consumption(measuring, backend, found)
    billed = _Billed(backend, found, use, phases(found, backend, _stood(measuring, backend)))
    return [
        _cost(measuring, billed, one, second)
        for one in priced
        for second in [always_on_price(backend, one)]
        if second is not None
    ]


def always_on_price(backend: Backend, priced: Priced) -> float | None:
    """Return the price of a second of each instance that is always on; None where the offer does not suit."""
    kept = priced.marginal.always_on
    if backend.kind == "serverless" and not backend.always_on:
        return 0.0 if priced.calls else None
    if _came_and_went(backend):
        return kept if priced.calls else None
    return kept


def replicas(backend: Backend) -> int:
    """Return how many instances of a backend are always on; an endpoint is one server."""
    return max(1, backend.always_on) if backend.kind in ("serverful", "endpoint") else backend.always_on


def period(measuring: Measuring, name: str) -> float:
    """Return for how many seconds of traffic the requests of a backend are, all its blocks together.

    A block lasts until its last answer has ended. In that last part of it no request comes any more, so it is left out:
    in traffic that goes on, an instance that is always on would serve others then. Where the backend could not keep up
    it counts, since the requests took that long.
    """
    saturated = steadiness(measuring, measuring.backends[name]).saturated
    blocks = [block.seconds for block in measuring.recording.blocks_of(name) if block.sent]
    return sum(blocks) if saturated else measuring.observed(name)


def _stood(measuring: Measuring, backend: Backend) -> float:
    """Return the seconds in which the always-on instances of a backend stood, all blocks to their ends together."""
    blocks = [block.seconds for block in measuring.recording.blocks_of(backend.name) if block.sent]
    return replicas(backend) * (sum(blocks) or measuring.seconds)


def consumption(measuring: Measuring, backend: Backend, found: Used) -> Consumption:
    """Return what was used in the terms of price lists. Instances that came and went are taken to be alike."""
    matrices, instance = measuring.backends[backend.name], measuring.recording.instance
    lines, always_on, seconds = measuring.usage(backend.name), replicas(backend), period(measuring, backend.name)
    held = matrices.held[~np.isnan(matrices.held)]
    count = len(start_seconds(measuring.results(backend.name))) or 1
    return Consumption(
        period_seconds=seconds,
        request_seconds=held,
        instances=(_span(found, backend, _stood(measuring, backend), count),) * count
        if _came_and_went(backend)
        else (),
        always_on=always_on, vcpus=instance.vcpus, memory_gib=instance.memory_gib, gpu=instance.gpu, gpus=instance.gpus,
        tokens_in=sum(line.tokens_in for line in lines), tokens_out=sum(line.tokens_out for line in lines),
        tokens_cached=sum(line.tokens_cached for line in lines),
    )  # fmt: skip


def _came_and_went(backend: Backend) -> bool:
    return backend.kind in ("serverless", "hybrid")


def phases(found: Used, backend: Backend, always_on_seconds: float) -> dict[str, float]:
    """Return the instance-seconds that are billed by use, by phase: of a hybrid those beyond its base.

    Its starts and stops are all beyond the base, which was there before; what else is beyond is busy and idle in the
    proportion of the whole.
    """
    whole = {
        "starting": found.of(STARTING),
        "busy": found.of(*BUSY),
        "idle": found.of(IDLE),
        "draining": found.of(DRAINING),
    }
    if not _came_and_went(backend):
        return dict.fromkeys(whole, 0.0)
    beyond = max(0.0, found.seconds - always_on_seconds)
    ends = min(beyond, whole["starting"] + whole["draining"])
    both = whole["busy"] + whole["idle"]
    scale_ends = ends / (whole["starting"] + whole["draining"]) if ends else 0.0
    scale = (beyond - ends) / both if both else 0.0
    scales = {"starting": scale_ends, "draining": scale_ends, "busy": scale, "idle": scale}
    return {phase: seconds * scales[phase] for phase, seconds in whole.items()}


def _span(found: Used, backend: Backend, always_on_seconds: float, count: int) -> InstanceSpan:
    each = {phase: seconds / count for phase, seconds in phases(found, backend, always_on_seconds).items()}
    return InstanceSpan(life=sum(each.values()), **each)


@dataclass(frozen=True)
class _Billed:
    """What is billed of a backend, the same by each offer; `by_use` has its seconds beside the always-on instances."""

    backend: Backend
    found: Used
    use: Consumption
    by_use: dict[str, float]


def _cost(measuring: Measuring, billed: _Billed, priced: Priced, second: float) -> Cost:
    backend, found, use = billed.backend, billed.found, billed.use
    total = _marginal_total(billed, priced, second)
    tokens = use.tokens_in + use.tokens_out
    relative = found.replicates / (found.seconds / found.requests)
    per_month, notes = _month(measuring, billed, priced)

    def estimate(value: float) -> Estimate:
        return measuring.resampling.estimate(value, value * relative, found.requests, (0.0, np.inf))

    return Cost(
        backend=backend.name, kind="measured", offer=priced.offer.id, title=priced.offer.name,
        provider=priced.offer.provider, always_on=not _came_and_went(backend),
        per_thousand_requests=estimate(1000 * total / found.requests),
        per_million_tokens=estimate(MILLION * total / tokens) if tokens else Estimate(),
        per_month=per_month,
        second_hand=priced.offer.mark != READ,
        date="" if priced.offer.oldest is None else priced.offer.oldest.isoformat(), notes=notes,
    )  # fmt: skip


def _marginal_total(billed: _Billed, priced: Priced, second: float) -> float:
    """Return what all of a use costs at marginal prices, in USD."""
    price, use = priced.marginal, billed.use
    prices = {"starting": price.starting, "busy": price.busy, "idle": price.idle, "draining": price.draining}
    cost = sum(seconds * prices[phase] for phase, seconds in billed.by_use.items())
    cost += use.always_on * use.period_seconds * second + billed.found.requests * price.request
    return cost + (float(use.durations.sum()) * price.request_second if _came_and_went(billed.backend) else 0.0)


def _month(measuring: Measuring, billed: _Billed, priced: Priced) -> tuple[Estimate, list[str]]:
    """Return the bill of a month, and what it assumes. It has an interval as far as it depends on what comes."""
    found, matrices = billed.found, measuring.backends[billed.backend.name]
    sent = measuring.resampling.total(matrices.sent, billed.backend.name)
    scale = measuring.seconds / measuring.windows.covered
    ends = [
        measuring.resampling.interval(np.maximum(0.0, replicates) * scale)
        for replicates in (found.replicates * sent / found.seconds, sent / found.requests)
    ]
    used_, requests = ends if found.requests > 1 else (None, None)
    spread = () if used_ is None or requests is None else tuple(zip(used_, requests, strict=True))
    bills, notes = offers.month(priced, billed.use, ((1.0, 1.0), *spread))
    if not bills:
        return Estimate(count=found.requests), notes
    value, low, high = bills[0], min(bills), max(bills)
    if low == high:
        return Estimate(value=value, count=found.requests), notes
    return Estimate(value=value, low=low, high=high, count=found.requests), notes


def token_costs(bought: Sequence[TokenOffer], sent: int, seconds: float) -> list[Cost]:
    """Return what an API would ask for the tokens of `sent` requests in so many seconds, which the offers are for."""
    month = MONTH_SECONDS / seconds
    found = []
    for offer in bought:
        total = offer.bill.total
        tokens = sum(line.quantity for line in offer.bill.lines)
        found.append(
            Cost(
                backend=offer.model, kind="tokens", offer=offer.id, title=f"{offer.provider}: {offer.model}",
                provider=offer.provider, always_on=False,
                per_thousand_requests=Estimate(value=1000 * total / sent, count=sent),
                per_million_tokens=Estimate(value=MILLION * total / tokens, count=sent),
                per_month=Estimate(value=total * month, count=sent), second_hand=offer.mark != READ,
                date="" if offer.date is None else offer.date.isoformat(),
                notes=["another model than the one that was measured", *offer.bill.notes],
            )
        )  # fmt: skip
    return found


def tokens_of(measuring: Measuring) -> tuple[int, int, int, float]:
    """Return tokens in and out, requests and seconds of the backend that answered most: what would be bought."""
    best = max(measuring.measured(), key=lambda one: measuring.backends[one.name].answered, default=None)
    if best is None or not measuring.backends[best.name].answered:
        return 0, 0, 0, 1.0
    answers = [result for result in measuring.results(best.name) if result.error is None]
    tokens_in = sum(r.tokens_in if r.prompt_tokens is None else r.prompt_tokens for r in answers)
    tokens_out = sum(r.tokens_out if r.completion_tokens is None else r.completion_tokens for r in answers)
    return tokens_in, tokens_out, len(answers), period(measuring, best.name)


def run_day(created_at: float) -> dt.date:
    """Return the day of a run, at which prices are looked at."""
    return dt.datetime.fromtimestamp(created_at, dt.UTC).date()
