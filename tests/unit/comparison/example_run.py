"""What a comparison that was never run would have left: made data, drawn from a seed, of plausible size."""

from __future__ import annotations

from pathlib import Path

import numpy as np

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
