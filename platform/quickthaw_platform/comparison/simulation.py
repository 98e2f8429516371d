"""From a real run to a cluster and a month: the run's own requests, played again in simulation at other rates.

The simulator is the platform's, under the policies that the platform runs; it is told what the run measured of this
machine (`Calibration`). All that comes of it is simulated, and says so.
"""

from __future__ import annotations

import csv
import itertools
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, geometric_mean
from typing import Any

from quickthaw_platform.comparison.recording import Backend, Calibration, Recording, SimulatedPoint
from quickthaw_platform.errors import SettingsInvalid
from quickthaw_platform.simulator.engine import simulate
from quickthaw_platform.simulator.outcome import Outcome, Phase
from quickthaw_platform.simulator.scenario import Scenario
from quickthaw_platform.traffic.result import RequestResult

ALLOCATION_POLICY, KEEP_ALIVE_POLICY = "startup-time", "fixed"
SIMULATED_CALLS = 5_000
"""Calls of each point: the trace is played over and over until so many have come."""

HOUR_SECONDS = 3600.0
RATE_FACTORS = (0.125, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
"""Of the measured rate: where points are made when no rates are asked for."""

ROOMY_BYTES = 1 << 40
FAST_BYTES_PER_SECOND = 10**15
"""Loads take no time of their own: what a start took, loads included, is in its calibrated seconds."""

AT_ONCE_SECONDS, UNKNOWN_SECONDS = 1e-6, 1.0
"""A start that takes no time, and one of which nothing is known."""

TUNING_ROUNDS = 4
LEAST_TRACE = 8
"""Requests of a run, below which its mean says too little to tune by."""

MOST_LOAD = 4.0

PHASES = {Phase.STARTING: "starting", Phase.IDLE: "idle", Phase.SERVING: "serving"}
_PLATFORM_KINDS = ("serverless", "serverful", "hybrid")

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Cluster:
    """What is simulated: so many nodes alike, each with room for so many instances."""

    nodes: int = 1
    instances_per_node: int | None = None  # None: as many as the function may have


def simulate_run(
    recording: Recording,
    results: Sequence[RequestResult],
    *,
    rates: Sequence[float] = (),
    calls: int = SIMULATED_CALLS,
    cluster: Cluster | None = None,
    progress: Progress = lambda _: None,
) -> list[SimulatedPoint]:
    """Simulate each backend of the run that the platform serves, at each rate (requests per second).

    SettingsInvalid where the run could not calibrate the simulator, or has no request to play.
    """
    calibration = recording.calibration
    if calibration is None:
        raise SettingsInvalid(
            "this run measured too few warm requests of the platform's own backends to calibrate the simulator; "
            "measure for longer, or at a higher rate"
        )
    trace = played(results)
    if len(trace) < 2:
        raise SettingsInvalid("the simulation needs two requests at least, and the run has fewer")
    chosen = rates or [recording.arrivals.rate * factor for factor in RATE_FACTORS]
    backends = [one for one in recording.backends if one.kind in _PLATFORM_KINDS and one.twin_of is None]
    points = []
    with tempfile.TemporaryDirectory(prefix="quickthaw-simulation-") as folder:
        path = Path(folder) / "trace.csv"
        _write(path, trace, calibration)
        world = _World(recording, calibration, path, cluster or Cluster(), calls)
        for backend, rate in itertools.product(backends, chosen):
            progress(f"{backend.name} at {rate:.3g} requests/s")
            outcome = simulate(world.scenario(backend, rate), ALLOCATION_POLICY, KEEP_ALIVE_POLICY)
            points.append(_point(recording, backend, rate, outcome, world.label(backend)))
    return points


def tuned(recording: Recording, results: Sequence[RequestResult]) -> Recording:
    """Return the run with `calibration.under_load` such that its own requests, simulated, have their measured TTFT.

    What was sent one by one met an idle machine. Under traffic the gateway, the generator and other streams take part
    of it, and first tokens come later by a factor, which is found by simulating the run's own requests. A run without
    a calibration, or with too few requests, stays as it is.
    """
    calibration, trace = recording.calibration, played(results)
    if calibration is None or len(trace) < LEAST_TRACE:
        return recording
    for _ in range(TUNING_ROUNDS):
        points = simulate_run(recording, results, rates=[native_rate(trace)], calls=len(trace))
        ratios = [_mean_ttft(results, point.backend) / point.ttft_mean for point in points if point.ttft_mean > 0]
        factor = calibration.under_load * geometric_mean(filter(None, ratios)) if any(ratios) else 1.0
        calibration = calibration.model_copy(update={"under_load": min(max(factor, 1 / MOST_LOAD), MOST_LOAD)})
        recording = recording.model_copy(update={"calibration": calibration})
    return recording


def native_rate(trace: Sequence[RequestResult]) -> float:
    """Return the rate at which a trace is played as fast as it was: see traffic.playing."""
    return (len(trace) - 1) / (trace[-1].intended - trace[0].intended)


def _mean_ttft(results: Sequence[RequestResult], backend: str) -> float:
    known = [r.ttft for r in results if r.backend == backend and r.error is None and r.ttft is not None]
    return fmean(known) if known else 0.0


def played(results: Sequence[RequestResult]) -> list[RequestResult]:
    """Return the requests of one block, in order: all blocks have the same."""
    blocks = sorted({(result.backend, result.repeat) for result in results})
    longest = max(blocks, key=lambda block: sum((r.backend, r.repeat) == block for r in results), default=None)
    return sorted((r for r in results if (r.backend, r.repeat) == longest), key=lambda result: result.number)


def _write(path: Path, trace: Sequence[RequestResult], calibration: Calibration) -> None:
    """Write the trace; what a first token takes beyond the prompt counts as further tokens of the prompt."""
    extra = calibration.first_token_seconds * calibration.prefill_tokens_per_second
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("time", "tokens_in", "tokens_out"))
        for result in trace:
            tokens_in = result.tokens_in if result.prompt_tokens is None else result.prompt_tokens
            tokens_out = result.tokens_out if result.completion_tokens is None else result.completion_tokens
            rows.writerow((f"{result.intended:.6f}", max(1, round(tokens_in + extra)), max(1, tokens_out - 1)))


@dataclass(frozen=True, slots=True)
class _World:
    """What all points have in common."""

    recording: Recording
    calibration: Calibration
    trace: Path
    cluster: Cluster
    calls: int

    def scenario(self, backend: Backend, rate: float) -> Scenario:
        """Return what the simulator plays for one backend at one rate."""
        most = (
            backend.always_on
            if backend.kind == "serverful"
            else max(self.recording.instance.max_instances, backend.always_on)
        )
        return Scenario.model_validate(
            {
                "invocations": self.calls,
                "policies": [ALLOCATION_POLICY],
                "keep_alives": [KEEP_ALIVE_POLICY],
                "slo_ttft": self.recording.slo.ttft,
                "stop": self.calibration.stop,
                "placed_on_disks": "all",
                "devices": {"here": self._device(backend.kind)},
                "nodes": [self._nodes(most)],
                "functions": [self._function(backend, most)],
                "arrivals": {"kind": "csv", "path": self.trace, "rate": rate},
            }
        )

    def label(self, backend: Backend) -> str:
        """Return what a point is called in figures."""
        nodes = "" if self.cluster.nodes == 1 else f" on {self.cluster.nodes} nodes"
        return f"{backend.name}{nodes}, simulated"

    def _nodes(self, most: int) -> dict[str, Any]:
        room = self.cluster.instances_per_node or most
        speeds = dict.fromkeys(("dram", "disk", "remote"), FAST_BYTES_PER_SECOND)
        roomy = {"dram": ROOMY_BYTES, "disk": ROOMY_BYTES}
        return {"count": self.cluster.nodes, "device": "here", "memory": room, "bandwidths": speeds, **roomy}

    def _function(self, backend: Backend, most: int) -> dict[str, Any]:
        instance = self.recording.instance
        return {
            "name": "f",
            "checkpoint": 1,
            "memory": 1,
            "concurrency": instance.concurrency,
            "min_instances": backend.always_on,
            "max_instances": most,
            "keep_alive": instance.keep_alive,
            "queue_size": 1_000_000,
            "tokens_in": "trace",
            "tokens_out": "trace",
        }

    def _device(self, kind: str) -> dict[str, Any]:
        """Return the device; a way that no start took is given the figure of the nearest that one did.

        The replicas of a serverful side are there before the first request: their starts take no time.
        """
        known = {} if kind == "serverful" else self.calibration.start_seconds
        usual = max(known.values(), default=AT_ONCE_SECONDS if kind == "serverful" else UNKNOWN_SECONDS)
        nearest = {"template": ("template", "dram", "disk"), "dram": ("dram", "template", "disk")}
        starts = {way: next((known[w] for w in ways if w in known), usual) for way, ways in nearest.items()}
        return {
            "prefill_tokens_per_second": self.calibration.prefill_tokens_per_second / self.calibration.under_load,
            "decode_tokens_per_second": self.calibration.decode_tokens_per_second,
            "slowdown_per_stream": self.calibration.slowdown_per_stream,
            "prompts_in_turn": True,
            "init_seconds": starts | {way: known.get(way, usual) for way in ("disk", "remote")},
        }


def _point(recording: Recording, backend: Backend, rate: float, outcome: Outcome, label: str) -> SimulatedPoint:
    found = outcome.summary(recording.slo.ttft)
    ttft = found["ttft_seconds"] or {"mean": 0.0, "p50": 0.0, "p99": 0.0}
    hours = max(outcome.seconds, 1e-9) / HOUR_SECONDS
    return SimulatedPoint(
        backend=backend.name,
        kind=backend.kind,
        always_on=backend.always_on,
        rate=rate,
        cv=recording.arrivals.cv or 0.0,
        seconds_by_phase={PHASES[phase]: seconds / hours for phase, seconds in outcome.phases.items()},
        held_mean=fmean(outcome.held) if outcome.held else None,
        ttft_mean=ttft["mean"],
        ttft_p50=ttft["p50"],
        ttft_p99=ttft["p99"],
        slo_attainment=found["slo_attainment"],
        requests=found["calls"],
        seconds=max(outcome.seconds, 1e-9),
        label=label,
    )
