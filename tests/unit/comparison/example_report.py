"""A report put together by hand, which holds everything that a report can hold. For tests of pages and figures."""

from __future__ import annotations

from quickthaw_platform.comparison.estimates import Estimate, Measure, Which
from quickthaw_platform.comparison.exhibits import (
    BaseChoice,
    Hybrid,
    Stage,
    Waterfall,
)
from quickthaw_platform.comparison.recording import (
    Kind,
    Recording,
)
from quickthaw_platform.comparison.report import (
    Answer,
    Cost,
    Difference,
    Header,
    Noise,
    Percentiles,
    PriceList,
    Report,
    Row,
    Steadiness,
    Threat,
    Trend,
    Usage,
)
from tests.unit.comparison.example_exhibits import (
    around,
    example_ablations,
    example_attainment,
    example_break_even,
    example_curves,
    example_pareto,
    example_surface,
    example_timelines,
    too_few,
)
from tests.unit.comparison.example_run import (
    KINDS,
    REPEATS,
    STAGES,
    example_recording,
)


def example_report() -> Report:
    """Return a report with something in every part of it, and cases that are hard to draw among them."""
    run = example_recording()
    return Report(
        title="chat: serverless or serverful? (made data)",
        header=_header(run),
        answer=Answer(
            sentence="At 0.40 requests/s with CV 4.0, serverless costs 0.56 [0.52, 0.60] of one always-on replica per"
            " request on RunPod L4 and meets the SLO for 97.2 % [95.6, 98.4] against 99.7 % [98.9, 100];"
            " they break even at 2.1 [1.8, 2.4] requests/s.",
            holds_for="smollm2-135m on this machine, made data.",
            says_nothing_of="other models, machines and traffic.",
            offer="runpod-serverless-l4",
            ratio=around(0.56, 0.07),
            break_even=around(2.1, 0.14),
        ),
        rows=[_row(name, kind) for name, kind in KINDS.items()],
        differences=[
            Difference(
                measure="ttft_mean", first="serverless", second="serverful", unit="s", difference=around(0.22, 0.2),
                floor=0.02, verdict="higher",
            ),
            Difference(
                measure="tpot_mean", first="serverless", second="serverful", unit="s",
                difference=Estimate(value=0.0002, low=-0.0004, high=0.0009, count=360), floor=0.002, verdict="none",
            ),
        ],
        noise=Noise(backend="serverful", twin="serverful-again", floors={"ttft_mean": 0.02, "tpot_mean": 0.002}),
        token_costs=[_tokens("deepinfra/llama-3.1-8b", 0.006), _tokens("groq/llama-3.1-8b", 0.013)],
        latency_curves=example_curves(),
        waterfalls=[
            Waterfall(
                backend="serverless", count=57, ttft=sum(STAGES.values()) + 0.3,
                stages=[Stage(name=name, seconds=seconds) for name, seconds in (STAGES | {"other": 0.3}).items()],
            )
        ],
        timelines=example_timelines(),
        break_evens=[example_break_even()],
        surfaces=[example_surface()],
        hybrids=[
            Hybrid(
                title="RunPod L4 over a RunPod L4 pod", serverless_offer="runpod-serverless-l4",
                serverful_offer="runpod-pod-l4", demand_of="serverful",
                choices=[
                    BaseChoice(base=base, per_thousand_requests=cost, best=base == 1, overflow_share=share)
                    for base, cost, share in ((0, 0.31, 1.0), (1, 0.26, 0.2), (2, 0.45, 0.03), (3, 0.66, 0.0))
                ],
            )
        ],
        pareto=example_pareto(),
        attainment=example_attainment(),
        ablations=example_ablations(),
        threats=[
            Threat(weight="serious", title="Few repeats", text="Three blocks a backend; the report asks for five."),
            Threat(weight="limit", title="Synthetic arrivals", text="The times were drawn, not read from a trace."),
            Threat(weight="limit", title="One machine", text="Everything ran on one machine, the generator too."),
            Threat(weight="fatal", title="Made data", text="This is an example for tests: nothing of it was measured."),
        ],
        missing=["usage.csv: nothing of llama, which is an endpoint: only its resident memory is known"],
    )  # fmt: skip


def _header(run: Recording) -> Header:
    return Header(
        **{name: getattr(run, name) for name in (
            "commit", "command", "created_at", "machine", "function", "model", "checkpoint", "dtype", "engine",
            "arrivals", "backends", "order", "repeats", "slo", "instance", "interrupted", "blocks",
        )},
        repeats_done=REPEATS,
        prices=[
            PriceList(name="runpod", date="2026-06-08", age_days=173, second_hand=False),
            PriceList(name="modal", date="2026-05-08", age_days=204, second_hand=True),
        ],
        seed=1, resamples=2000, confidence=0.95, dispatch_lag_p99=0.002, valid=True, invalid=[],
    )  # fmt: skip


def _row(name: str, kind: Kind) -> Row:
    endpoint = kind == "endpoint"
    base = 0.5 if kind == "serverless" else 0.3
    whiches: tuple[Which, ...] = ("all", "cold", "warm") if kind == "serverless" else ("all",)
    return Row(
        backend=name, kind=kind, always_on=0 if kind in ("serverless", "endpoint") else 1, requests=360, answered=359,
        note="made data",
        failures={} if endpoint else {"timed out": 1}, error="made: connection refused" if endpoint else None,
        latencies=[
            _percentiles(measure, which, base * factor * (4 if which == "cold" else 1), 57 if which == "cold" else 360)
            for measure, factor in _FACTORS.items()
            for which in whiches
        ],
        attainment=around(0.972 if kind == "serverless" else 0.995, 0.004), goodput=around(0.39),
        throughput=around(0.398), cold_share=Estimate() if endpoint else around(0.16 * (kind == "serverless"), 0.2),
        usage=None if endpoint else _usage(kind), cold_start_seconds=0.9 if endpoint else None,
        resident_bytes=3.1e8 if endpoint else None,
        steadiness=Steadiness(
            steady=not endpoint, saturated=endpoint, why="made data: queue and first token do not grow.",
            halves=Estimate(value=0.01, low=-0.05, high=0.07, count=360),
            queue=Trend(slope=Estimate(value=0.0, low=-0.001, high=0.001, count=900), grows=False),
            ttft=Trend(slope=Estimate(value=0.0, low=-0.001, high=0.001, count=360), grows=endpoint),
        ),
        costs=[] if endpoint else _costs(name, kind),
    )  # fmt: skip


_FACTORS: dict[Measure, float] = {"ttft": 1.0, "tpot": 0.1, "itl": 0.08, "e2e": 3.0}


def _percentiles(measure: Measure, which: Which, base: float, count: int) -> Percentiles:
    return Percentiles(
        measure=measure, which=which, mean=around(base, 0.06, count), p50=around(base * 0.9, 0.05, count),
        p90=around(base * 1.5, 0.1, count), p95=around(base * 2, 0.2, count) if count > 100 else too_few(count, 72),
        p99=around(base * 4, 0.3, count) if count > 100 else too_few(count, 368),
    )  # fmt: skip


def _usage(kind: Kind) -> Usage:
    starting = {f"starting/{name}": 20 * seconds for name, seconds in STAGES.items()} if kind == "serverless" else {}
    return Usage(
        seconds_by_phase=starting | {"prefill": 80.0, "decode": 170.0, "idle": 450.0 if starting else 650.0},
        seconds=around(2.0 if starting else 2.5), memory_gib_seconds=900.0, tokens_in=79_000, tokens_out=8_600,
        tokens_cached=0, fetched_bytes=5_400_000_000,
    )  # fmt: skip


def _costs(name: str, kind: Kind) -> list[Cost]:
    factor = {"serverless": 0.56, "serverful": 1.0, "hybrid": 1.1}.get(kind, 1.0)
    return [
        Cost(
            backend=name, kind="measured", offer=offer, title=title, provider=provider,
            currency="EUR" if provider == "hetzner" else "USD", always_on=kind != "serverless",
            per_thousand_requests=around(0.5 * factor * scale), per_million_tokens=around(2.1 * factor * scale),
            per_month=around(520 * factor * scale), second_hand=provider == "modal", date="2026-06-08",
            meets_slo=True, notes=["one L4 for each instance"],
        )
        for offer, title, provider, scale in (
            ("runpod-l4", "RunPod L4", "runpod", 1.0),
            ("modal-l4", "Modal L4", "modal", 1.2),
            ("hetzner-gex45", "Hetzner GEX45", "hetzner", 0.4),
        )
    ]  # fmt: skip


def _tokens(name: str, cost: float) -> Cost:
    return Cost(
        backend=name, kind="tokens", offer=name, title=name, provider=name.split("/")[0], always_on=False,
        per_thousand_requests=Estimate(value=cost, count=360), per_million_tokens=Estimate(value=cost * 4, count=360),
        per_month=Estimate(value=cost * 1036, count=360), date="2026-11-05", notes=["another model than this one"],
    )  # fmt: skip
