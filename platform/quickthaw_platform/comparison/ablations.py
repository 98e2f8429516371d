"""Runs with one part changed, beside this one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from quickthaw_platform.comparison.estimates import Estimate
from quickthaw_platform.comparison.exhibits import Ablation
from quickthaw_platform.comparison.headline import attainment, percentiles
from quickthaw_platform.comparison.measuring import Measuring, measure
from quickthaw_platform.comparison.recorded import Recorded
from quickthaw_platform.comparison.recording import Recording
from quickthaw_platform.comparison.using import usage

THIS_RUN = "this run"


@dataclass(frozen=True)
class Changed:
    """Another run: which part was changed, and what stood in its place."""

    part: str  # loader, keep-alive policy, allocation policy, ...
    label: str
    recorded: Recorded


def ablations(measuring: Measuring, changed: Sequence[Changed], seed: int) -> list[Ablation]:
    """Return this run and the changed ones, part by part; of each its serverless backend, or else its first."""
    found = []
    for part in dict.fromkeys(change.part for change in changed):
        found += _ablation(measuring, part, THIS_RUN, measuring.recording)
        for change in changed:
            if change.part == part:
                found += _ablation(measure(change.recorded, seed), part, change.label, measuring.recording)
    return found


def _ablation(measuring: Measuring, part: str, label: str, here: Recording) -> list[Ablation]:
    backend = next(iter(sorted(measuring.measured(), key=lambda one: one.kind != "serverless")), None)
    if backend is None:
        return []
    matrices = measuring.backends[backend.name]
    ttft = percentiles(measuring.resampling, matrices, "ttft", "all")
    cold = measuring.resampling.mean(matrices.cold, backend.name)
    known = matrices.cold[matrices.cold >= 0]
    spent = usage(measuring, backend.name)
    return [
        Ablation(
            part=part, label=label, backend=backend.name, baseline=label == THIS_RUN, ttft_mean=ttft.mean,
            ttft_p50=ttft.p50, ttft_p99=ttft.p99, attainment=attainment(measuring, matrices),
            cold_share=measuring.resampling.estimate(float(known.mean()), cold, len(known), (0.0, 1.0))
            if len(known)
            else Estimate(),
            device_seconds=Estimate() if spent is None else spent.seconds,
            comparable=_alike(measuring.recording, here),
        )
    ]  # fmt: skip


def _alike(one: Recording, other: Recording) -> bool:
    """Say whether two runs had the same model, arrivals and machine."""
    return (one.checkpoint, one.model, one.dtype, one.arrivals.digest, one.machine) == (
        other.checkpoint, other.model, other.dtype, other.arrivals.digest, other.machine,
    )  # fmt: skip
