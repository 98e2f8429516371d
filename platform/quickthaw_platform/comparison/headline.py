"""The headline table: latencies, attainment, goodput, failures and usage of each backend."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quickthaw_platform.comparison.estimates import Estimate, Measure, Which
from quickthaw_platform.comparison.matrices import Ints, Matrices
from quickthaw_platform.comparison.measuring import Measuring
from quickthaw_platform.comparison.recording import Backend
from quickthaw_platform.comparison.report import Cost, Percentiles, Row
from quickthaw_platform.comparison.statistics import order
from quickthaw_platform.comparison.statistics.bootstrap import Resampling
from quickthaw_platform.comparison.steadiness import steadiness
from quickthaw_platform.comparison.using import usage

Floats = NDArray[np.float64]

MEASURES: tuple[Measure, ...] = ("ttft", "tpot", "itl", "e2e")
WHICH: tuple[Which, ...] = ("all", "cold", "warm")
PART = (0.0, 1.0)


def row(measuring: Measuring, backend: Backend, costs: list[Cost]) -> Row:
    """Return the row of one backend."""
    matrices = measuring.backends[backend.name]
    blocks = measuring.recording.blocks_of(backend.name)
    started = [block.cold_start_seconds for block in blocks if block.cold_start_seconds is not None]
    resident = [block.resident_bytes for block in blocks if block.resident_bytes is not None]
    return Row(
        backend=backend.name, kind=backend.kind, always_on=backend.always_on, note=backend.note,
        requests=matrices.requests, answered=matrices.answered, failures=dict(matrices.failures.most_common()),
        error="; ".join(dict.fromkeys(block.error for block in blocks if block.error)) or None,
        latencies=latencies(measuring, matrices), attainment=attainment(measuring, matrices),
        goodput=_per_second(measuring, matrices, matrices.met),
        throughput=_per_second(measuring, matrices, (~np.isnan(matrices.e2e)).astype(np.float64)),
        cold_share=_mean(measuring, matrices, matrices.cold, PART), usage=usage(measuring, backend.name),
        cold_start_seconds=sum(started) / len(started) if started else None,
        resident_bytes=max(resident, default=None), steadiness=steadiness(measuring, matrices), costs=costs,
    )  # fmt: skip


def latencies(measuring: Measuring, matrices: Matrices) -> list[Percentiles]:
    """Return all percentiles of a backend; nothing of cold and warm where nobody knows which was which."""
    known = bool((~np.isnan(matrices.cold)).any())
    return [
        percentiles(measuring.resampling, matrices, measure, which)
        for measure in MEASURES
        for which in (WHICH if known else WHICH[:1])
    ]


def percentiles(resampling: Resampling, matrices: Matrices, measure: Measure, which: Which) -> Percentiles:
    """Return mean and percentiles of one kind of latency."""
    values, sums, counts = _values(matrices, measure, which)
    mean = float(sums.sum() / counts.sum()) if counts.sum() else np.nan
    replicates = resampling.ratio(sums, counts, matrices.name)
    return Percentiles(
        measure=measure, which=which, mean=resampling.estimate(mean, replicates, len(values)),
        p50=_quantile(resampling, matrices, measure, which, values, 0.5),
        p90=_quantile(resampling, matrices, measure, which, values, 0.9),
        p95=_quantile(resampling, matrices, measure, which, values, 0.95),
        p99=_quantile(resampling, matrices, measure, which, values, 0.99),
    )  # fmt: skip


def _values(matrices: Matrices, measure: Measure, which: Which) -> tuple[Floats, Floats, Floats]:
    """Return the values in one row, and per request their sum and number."""
    if measure != "itl":
        found = matrices.only(getattr(matrices, measure), which)
        known = ~np.isnan(found)
        return found[known], np.nan_to_num(found), known.astype(np.float64)
    gaps, cells = _gaps(matrices, which)
    return gaps, _added(matrices, cells, gaps), _added(matrices, cells)


def _gaps(matrices: Matrices, which: Which) -> tuple[Floats, Ints]:
    chosen = ~np.isnan(matrices.only(matrices.e2e, which)).ravel()[matrices.gap_cells]
    return matrices.gaps[chosen], matrices.gap_cells[chosen]


def _added(matrices: Matrices, cells: Ints, values: Floats | None = None) -> Floats:
    """Return the sum of the values of each request, or their number."""
    found = np.bincount(cells, values, minlength=matrices.sent.size)
    return np.asarray(found.reshape(matrices.sent.shape), dtype=np.float64)


def _quantile(
    resampling: Resampling, matrices: Matrices, measure: Measure, which: Which, values: Floats, q: float
) -> Estimate:  # fmt: skip
    if not len(values):
        return Estimate()
    limit = np.quantile(values, q)
    if measure == "itl":
        gaps, cells = _gaps(matrices, which)
        counts, below = _added(matrices, cells), _added(matrices, cells, (gaps <= limit).astype(np.float64))
    else:
        found = matrices.only(getattr(matrices, measure), which)
        counts = (~np.isnan(found)).astype(np.float64)
        below = np.where(counts > 0, found <= limit, False).astype(np.float64)
    return order.quantile(values, q, effect=order.design_effect(resampling, below, counts, matrices.name))


def attainment(measuring: Measuring, matrices: Matrices) -> Estimate:
    """Return the part of the requests that was answered within the objective."""
    return _mean(measuring, matrices, matrices.met, PART)


def _mean(measuring: Measuring, matrices: Matrices, values: Floats, most: tuple[float, float]) -> Estimate:
    known = ~np.isnan(values)
    if not known.any():
        return Estimate()
    replicates = measuring.resampling.mean(values, matrices.name)
    return measuring.resampling.estimate(float(values[known].mean()), replicates, int(known.sum()), most)


def _per_second(measuring: Measuring, matrices: Matrices, counted: Floats) -> Estimate:
    """Return how many of what is counted came in a second of a block."""
    if not matrices.requests:
        return Estimate()
    observed = measuring.observed(matrices.name)
    scale = measuring.seconds / measuring.windows.covered / observed
    replicates = measuring.resampling.total(counted, matrices.name) * scale
    return measuring.resampling.estimate(float(np.nansum(counted)) / observed, replicates, matrices.requests)
