"""A comparison that was never run: made data, drawn from a seed, of plausible size. For tests of reports and figures.

`example_report` is put together by hand and holds everything that a report can hold; `example_recording` with
`example_requests`, `example_usage`, `example_timeline` and `example_simulated` is what a run would have left.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from quickthaw_platform.comparison.estimates import Estimate, Measure, Which
from quickthaw_platform.comparison.exhibits import (
    Ablation,
    AttainmentPoint,
    BaseChoice,
    BreakEven,
    CostPoint,
    Hybrid,
    LatencyCurve,
    ParetoPoint,
    Stage,
    Surface,
    Timeline,
    Waterfall,
)
from quickthaw_platform.comparison.recorded import Recorded
from quickthaw_platform.comparison.recording import (
    Arrivals,
    Backend,
    Block,
    Calibration,
    Instance,
    Kind,
    Recording,
    SimulatedPoint,
    Slo,
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
from quickthaw_platform.comparison.rows import TimelineLine, UsageLine
from quickthaw_platform.comparison.writing import Measured, write_run, write_simulated
from quickthaw_platform.traffic.result import RequestResult

REPEATS = 3
SECONDS = 300.0
RATE = 0.4
STAGES = {"queue": 0.02, "tier": 0.01, "template": 0.5, "fork": 0.03, "engine": 0.25, "weights": 0.6, "prefill": 0.1}
KINDS: dict[str, Kind] = {"serverless": "serverless", "serverful": "serverful", "hybrid": "hybrid", "llama": "endpoint"}
SEED = 20261128


def example_recording() -> Recording:
    """Return the record of a run of four backends, one of them an endpoint, three blocks each."""
    return Recording(
        created_at=1_795_860_000.0,
        command="quickthaw compare chat --arrivals azure-code --minutes 5 (made data: this was never run)",
        commit="0123456789abcdef0123456789abcdef01234567",
        machine={"host": "example", "cpu": "Example CPU (made data)", "cores": 2, "memory_gib": 16.0, "device": "cpu"},
        function="chat",
        model="smollm2-135m",
        checkpoint="sha256:" + "ab" * 32,
        dtype="bfloat16",
        engine="transformers",
        arrivals=Arrivals(
            label="azure-code (made)", kind="gamma", synthetic=True, digest="cd" * 32, rate=RATE, cv=4.0, fano=9.3,
            count=round(RATE * SECONDS), seconds=SECONDS, seed=SEED, tokens_in=220.0, tokens_out=24.0,
        ),
        backends=[
            Backend(name="serverless", kind="serverless"),
            Backend(name="serverful", kind="serverful", always_on=1),
            Backend(name="hybrid", kind="hybrid", always_on=1),
            Backend(name="llama", kind="endpoint", url="http://127.0.0.1:9999/v1", note="made data"),
        ],
        repeats=REPEATS,
        slo=Slo(ttft=2.0, tpot=0.2),
        instance=Instance(memory_gib=1.0, vcpus=1.0, keep_alive=10.0, concurrency=8),
        blocks=[
            Block(
                backend=name, repeat=repeat, began_at=1_795_860_000.0 + 1300 * repeat + 320 * number, seconds=SECONDS,
                sent=round(RATE * SECONDS), dispatch_lag_p99=0.002,
                cold_start_seconds=0.9 if name == "llama" else None,
                resident_bytes=3.1e8 if name == "llama" else None,
            )
            for repeat in range(REPEATS)
            for number, name in enumerate(KINDS)
        ],
        calibration=Calibration(
            start_seconds={"template": 0.15, "dram": 0.5, "disk": 1.2, "remote": 8.0},
            prefill_tokens_per_second=900.0, decode_tokens_per_second=45.0, slowdown_per_stream=0.12, stop=0.05,
        ),
    )  # fmt: skip


def example_requests(seed: int = SEED) -> list[RequestResult]:
    """Return the requests of all blocks; the same arrivals in each."""
    rng = np.random.default_rng(seed)
    count = round(RATE * SECONDS)
    gaps = rng.gamma(1 / 16, 16 / RATE, count)
    times = np.cumsum(gaps) * SECONDS / gaps.sum() * 0.99
    tokens = rng.integers(8, 40, count)
    return [
        _request(rng, name, repeat, number, times, int(tokens[number]))
        for name in KINDS
        for repeat in range(REPEATS)
        for number in range(count)
    ]


def _request(
    rng: np.random.Generator, name: str, repeat: int, number: int, times: np.ndarray, tokens: int
) -> RequestResult:
    at = float(times[number])
    idle = at - float(times[number - 1]) if number else np.inf
    cold = name == "serverless" and bool(idle > 11.0)
    stages = {stage: mean * float(rng.lognormal(0, 0.1)) for stage, mean in STAGES.items()} if cold else {}
    first = at + sum(stages.values()) + 0.25 * float(rng.lognormal(0, 0.2))
    gaps = tuple(float(gap) for gap in 0.025 * rng.lognormal(0, 0.2, tokens - 1))
    error = "timed out" if name != "llama" and number == 77 and repeat == 1 else None
    return RequestResult(
        number=number, intended=at, sent=at + 0.001, first_token=None if error else first, gaps=() if error else gaps,
        end=at + 30.0 if error else first + sum(gaps), tokens_in=220, tokens_out=tokens,
        prompt_tokens=221, completion_tokens=tokens, error=error,
        cold=None if name == "llama" else cold, tier="disk" if cold else None, stages=stages,
        node=None if name == "llama" else "node-0", queue=None if name == "llama" else stages.get("queue", 0.0),
        backend=name, repeat=repeat,
    )  # fmt: skip


def example_usage(requests: list[RequestResult]) -> list[UsageLine]:
    """Return what the metered backends would have used for those requests."""
    lines = []
    for name in ("serverless", "serverful", "hybrid"):
        for repeat in range(REPEATS):
            mine = [r for r in requests if (r.backend, r.repeat) == (name, repeat)]
            lines += _usage_of(name, repeat, mine)
    return lines


def _usage_of(name: str, repeat: int, mine: list[RequestResult]) -> list[UsageLine]:
    starting: dict[str, float] = {}
    for request in mine:
        for stage, seconds in request.stages.items():
            starting[f"starting/{stage}"] = starting.get(f"starting/{stage}", 0.0) + seconds
    busy = {"prefill": 0.22 * len(mine), "decode": sum(sum(r.gaps) for r in mine) * 0.8}
    idle = 150.0 if name == "serverless" else SECONDS - sum(busy.values())
    phases = starting | busy | {"idle": idle, "draining": 0.2 * bool(starting)}
    return [
        UsageLine(
            backend=name, repeat=repeat, phase=phase, seconds=seconds, memory_byte_seconds=seconds * 2**30,
            tokens_in=221 * len(mine) if phase == "prefill" else 0,
            tokens_out=sum(r.tokens_out for r in mine) if phase == "decode" else 0,
            requests=len(mine) if phase == "prefill" else 0,
            fetched_bytes=270_000_000 if phase == "starting/weights" else 0,
        )
        for phase, seconds in phases.items()
    ]  # fmt: skip


def example_timeline() -> list[TimelineLine]:
    """Return instances and queue, second by second."""
    rng = np.random.default_rng(SEED)
    lines = []
    for name, kind in KINDS.items():
        if kind == "endpoint":
            continue
        for repeat in range(REPEATS):
            for second in range(int(SECONDS)):
                up = kind != "serverless" or (second // 25) % 2 == 0
                lines.append(
                    TimelineLine(
                        backend=name, repeat=repeat, at=float(second),
                        instances_starting=int(kind == "serverless" and second % 50 in (0, 1)),
                        instances_ready=int(up), in_use=int(rng.integers(0, 3)) if up else 0,
                        queued=int(not up and rng.random() < 0.05),
                    )
                )  # fmt: skip
    return lines


def example_simulated() -> list[SimulatedPoint]:
    """Return points at other rates than the measured one."""
    return [
        SimulatedPoint(
            backend=name, kind=KINDS[name], always_on=0 if name == "serverless" else 1, rate=rate, cv=4.0,
            seconds_by_phase={"starting": 60.0 * rate, "idle": 1500.0, "serving": 3600 * min(0.9, 0.55 * rate)}
            if name == "serverless"
            else {"starting": 0.0, "idle": 3600 * (1 - min(0.9, 0.55 * rate)), "serving": 3600 * min(0.9, 0.55 * rate)},
            ttft_mean=0.5 if name == "serverless" else 0.3, ttft_p50=0.26, ttft_p99=2.1,
            slo_attainment=0.97 - 0.1 * rate, requests=10_000, seconds=10_000 / rate, label="made data",
        )
        for name in ("serverless", "serverful")
        for rate in (0.1, 0.8, 1.4)
    ]  # fmt: skip


def around(value: float, part: float = 0.1, count: int = 360) -> Estimate:
    """Return an estimate with an interval of so many parts on either side."""
    return Estimate(value=value, low=value * (1 - part), high=value * (1 + part), count=count)


def too_few(count: int, needed: int) -> Estimate:
    """Return the statement that there are too few values."""
    return Estimate(count=count, needed=needed)


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
        latency_curves=_curves(),
        waterfalls=[
            Waterfall(
                backend="serverless", count=57, ttft=sum(STAGES.values()) + 0.3,
                stages=[Stage(name=name, seconds=seconds) for name, seconds in (STAGES | {"other": 0.3}).items()],
            )
        ],
        timelines=_timelines(),
        break_evens=[_break_even()],
        surfaces=[_surface()],
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
        pareto=_pareto(),
        attainment=_attainment(),
        ablations=_ablations(),
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


def _curves() -> list[LatencyCurve]:
    requests = example_requests()
    curves = []
    for name in KINDS:
        for which in ("all", "cold", "warm") if name == "serverless" else ("all",):
            chosen = [r for r in requests if r.backend == name and (which == "all" or r.cold is (which == "cold"))]
            for measure in ("ttft", "e2e"):
                found = sorted(r.ttft if measure == "ttft" else r.e2e for r in chosen if r.ttft is not None)
                curves.append(
                    LatencyCurve(
                        label=f"{name}, {which}", backend=name, measure=measure, which=which, count=len(chosen),
                        x=found, y=[(i + 1) / len(chosen) for i in range(len(found))],
                    )
                )  # fmt: skip
    return curves


def _timelines() -> list[Timeline]:
    lines = example_timeline()
    return [
        Timeline(
            backend=name, repeat=repeat, at=[line.at for line in mine],
            instances_starting=[line.instances_starting for line in mine],
            instances_ready=[line.instances_ready for line in mine], in_use=[line.in_use for line in mine],
            queued=[line.queued for line in mine],
        )
        for name in ("serverless", "serverful", "hybrid")
        for repeat in range(REPEATS)
        for mine in [[line for line in lines if (line.backend, line.repeat) == (name, repeat)]]
    ]  # fmt: skip


def _break_even() -> BreakEven:
    rates = [float(rate) for rate in np.geomspace(0.01, 4.0, 60)]
    serverful = [0.19 / rate for rate in rates]
    serverless = [0.29 * float(1 - np.exp(-0.5 * rate - 0.4)) / rate for rate in rates]
    return BreakEven(
        title="RunPod L4 against a RunPod L4 pod", serverless_offer="runpod-serverless-l4",
        serverful_offer="runpod-pod-l4", cv=4.0, keep_alive=10.0, service_seconds=around(0.85),
        start_seconds=around(1.5), replicas=1, rates=rates, serverless=serverless,
        low=[0.85 * cost for cost in serverless], high=[1.2 * cost for cost in serverless], serverful=serverful,
        crossing=around(1.35, 0.2), most_rate=4.0,
        points=[
            CostPoint(
                label=label, backend=name, kind=KINDS[name], rate=rate, per_thousand_requests=around(cost),
                simulated=simulated, saturated=rate > 3,
            )
            for label, name, rate, cost, simulated in (
                ("serverless", "serverless", 0.4, 0.33, False), ("serverful", "serverful", 0.4, 0.475, False),
                ("serverless", "serverless", 1.4, 0.14, True), ("serverful", "serverful", 1.4, 0.135, True),
                ("serverful", "serverful", 3.5, 0.055, True), ("hybrid", "hybrid", 0.4, 0.51, False),
            )
        ],
    )  # fmt: skip


def _surface() -> Surface:
    rates = [float(rate) for rate in np.geomspace(0.01, 4.0, 24)]
    cvs = [1.0, 2.0, 4.0, 8.0]
    return Surface(
        title="RunPod L4 against a RunPod L4 pod", serverless_offer="runpod-serverless-l4",
        serverful_offer="runpod-pod-l4", rates=rates, cvs=cvs,
        ratio=[[1.5 * float(1 - np.exp(-(rate + 0.2) / cv**0.5)) for rate in rates] for cv in cvs],
        crossings=[0.9, 1.35, 2.0, None], here_rate=0.4, here_cv=4.0,
    )  # fmt: skip


def _pareto() -> list[ParetoPoint]:
    return [
        ParetoPoint(
            label=name, backend=name, offer="runpod-l4", ttft_p99=around(latency, 0.2), quantile="p99",
            per_thousand_requests=around(cost), front=front, simulated=simulated, saturated=name == "llama",
        )
        for name, latency, cost, front, simulated in (
            ("serverless", 2.1, 0.33, True, False), ("serverful", 0.6, 0.475, True, False),
            ("hybrid", 0.7, 0.51, False, False), ("serverless", 2.4, 0.14, False, True),
        )
    ]  # fmt: skip


def _attainment() -> list[AttainmentPoint]:
    measured = [
        AttainmentPoint(backend=name, rate=RATE, attainment=around(value, 0.01))
        for name, value in (("serverless", 0.972), ("serverful", 0.997), ("hybrid", 0.996), ("llama", 0.99))
    ]
    simulated = [
        AttainmentPoint(
            backend=point.backend, rate=point.rate, simulated=True, saturated=point.rate > 1,
            attainment=Estimate(value=point.slo_attainment, count=point.requests),
        )
        for point in example_simulated()
    ]  # fmt: skip
    return measured + simulated


def _ablations() -> list[Ablation]:
    return [
        Ablation(
            part=part, label=label, backend="serverless", baseline=baseline, ttft_mean=around(mean),
            ttft_p50=around(0.3), ttft_p99=around(4 * mean), cold_share=around(0.16), attainment=around(0.97, 0.01),
            device_seconds=around(2.0), comparable=label != "random",
        )
        for part, label, baseline, mean in (
            ("loader", "this run", True, 0.5), ("loader", "from the disk each time", False, 0.9),
            ("keep-alive policy", "histogram", False, 0.44), ("allocation policy", "random", False, 0.5),
        )
    ]  # fmt: skip


def example_recorded() -> Recorded:
    """Return the whole run that never was."""
    requests = example_requests()
    return Recorded(
        example_recording(), requests, example_usage(requests), example_timeline(), example_simulated(), missing=[]
    )


def write_example(folder: Path) -> Recorded:
    """Write the folder of the run that never was, and return what is in it."""
    found = example_recorded()
    folder.mkdir(parents=True, exist_ok=True)
    write_run(folder, found.recording, Measured(found.results, found.usage, found.timeline))
    write_simulated(folder, found.simulated)
    return found
