"""How many instances of a hybrid are best always on: what each number costs at the demand of the run's requests."""

from __future__ import annotations

import numpy as np

from quickthaw_platform.comparison.economics import hybrid
from quickthaw_platform.comparison.exhibits import BaseChoice, Hybrid
from quickthaw_platform.comparison.matrices import Matrices
from quickthaw_platform.comparison.measuring import Measuring
from quickthaw_platform.comparison.needs import Needs
from quickthaw_platform.comparison.offers import Pair

STEP_SECONDS = 0.1
"""In which a hybrid's demand is counted."""
MOST_BASE = 8


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
