"""What a run comes to in figures. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from quickthaw_platform.traffic.generator import LoadOutcome
from quickthaw_platform.traffic.percentiles import Percentiles
from quickthaw_platform.traffic.planning import LoadPlan
from quickthaw_platform.traffic.result import RequestResult


@dataclass(frozen=True, slots=True)
class Summary:
    """One run. Latencies are in seconds from the intended send; of first token and end, misses count as infinite."""

    plan: LoadPlan
    outcome: LoadOutcome
    latencies: dict[str, Percentiles]
    attained: int  # requests that met the SLO
    failures: dict[str, int]  # why to how often, the most frequent first

    @classmethod
    def of(cls, plan: LoadPlan, outcome: LoadOutcome) -> Summary:
        """Count a run."""
        results = outcome.results
        reasons = Counter(_reason(result.error) for result in results if result.error is not None)
        attained = sum(plan.slo.met(result) for result in results)
        return cls(plan, outcome, _latencies(results), attained, dict(reasons.most_common()))

    @property
    def attainment(self) -> float | None:
        """Share of the requests that met the SLO; None where none was sent."""
        return self.attained / len(self.outcome.results) if self.outcome.results else None

    @property
    def failed(self) -> int:
        """Requests that were not answered to the end."""
        return sum(self.failures.values())

    def to_json(self) -> dict[str, Any]:
        """Return all figures; a percentile is null where there are too few values, and "missed" beyond all answers."""
        plan, outcome = self.plan, self.outcome
        known = [result.cold for result in outcome.results if result.cold is not None]
        return {
            "arrivals": plan.label,
            "synthetic": plan.synthetic,
            "seed": plan.seed,
            "seconds": plan.seconds,
            "planned": len(plan),
            "rate": plan.rate,
            "cv": plan.cv,
            "fano": plan.fano,
            "plan_digest": plan.digest,
            "trace_digest": plan.trace_digest,
            "sent": len(outcome.results),
            "run_seconds": outcome.seconds,
            "failed": self.failed,
            "failures": self.failures,
            "cold": sum(known) if known else None,
            "slo": {"ttft": plan.slo.ttft, "tpot": plan.slo.tpot},
            "attainment": self.attainment,
            "goodput": self.attained / outcome.seconds if outcome.seconds else 0.0,
            "dispatch_lag_p99": outcome.dispatch_lag_p99,
            "latencies": {name: _percentiles_json(found) for name, found in self.latencies.items()},
            "tokens": _tokens(outcome.results),
            "invalid": outcome.invalid,
            "interrupted": outcome.interrupted,
            "notes": [*plan.notes, *outcome.notes],
        }


def _latencies(results: Sequence[RequestResult]) -> dict[str, Percentiles]:
    whole = [result for result in results if result.error is None]
    firsts = [result.ttft for result in results if result.ttft is not None]
    return {
        "ttft": Percentiles.of(firsts, len(results) - len(firsts)),
        "tpot": Percentiles.of(result.tpot for result in whole if result.tpot is not None),
        "itl": Percentiles.of(gap for result in results for gap in result.gaps),
        "e2e": Percentiles.of((result.e2e for result in whole), len(results) - len(whole)),
    }


def _tokens(results: Sequence[RequestResult]) -> dict[str, float | None]:
    """Return asked and counted tokens in all, of the requests that the server counted."""
    counted = [result for result in results if result.prompt_tokens is not None]
    return {
        "in_asked": sum(result.tokens_in for result in counted),
        "in_counted": sum(result.prompt_tokens or 0 for result in counted),
        "out_asked": sum(result.tokens_out for result in counted),
        "out_counted": sum(result.completion_tokens or 0 for result in counted),
    }


def _percentiles_json(found: Percentiles) -> dict[str, Any]:
    named = {f"p{percent:g}": value for percent, value in found.values.items()}
    missed = {name: "missed" if value is not None and math.isinf(value) else value for name, value in named.items()}
    return {"count": found.count, **missed}


def _reason(error: str) -> str:
    """Return what errors of one kind have in common: what stands before the details."""
    return error.partition(":")[0]
