"""The report of a comparison as data: `report.json`. Pages, tables and figures are made from this and nothing else.

It is computed by `compute.compute` from what lies in the run's folder. All times are seconds and all latencies count
from the intended send time. Whatever was simulated and not measured has `simulated=True` and is to be drawn dashed;
whatever is saturated has `saturated=True` and is to be hatched.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from quickthaw.results import CheckpointResult
from quickthaw_platform.comparison.estimates import Estimate, Measure, Which
from quickthaw_platform.comparison.exhibits import (
    Ablation,
    AttainmentPoint,
    BreakEven,
    Hybrid,
    LatencyCurve,
    ParetoPoint,
    Surface,
    Timeline,
    Waterfall,
)
from quickthaw_platform.comparison.recording import Arrivals, Backend, Block, Instance, Kind, Model, Order, Slo

REPORT_FILE = "report.json"

DifferenceMeasure = Literal["ttft_mean", "ttft_p50", "e2e_mean", "tpot_mean", "attainment", "goodput", "device_seconds"]


class PriceList(Model):
    """A file of prices that the report used."""

    name: str
    date: str = Field(description="of the oldest figure used of it: YYYY-MM-DD")
    age_days: int | None = Field(None, description="at the time of the run")
    second_hand: bool = Field(description="whether a figure used of it was not read at its source")


class Header(Model):
    """What was run, on what, and whether the run counts."""

    commit: str
    command: str
    created_at: float = Field(description="UNIX time of the run")
    machine: dict[str, str | int | float | None]
    function: str
    model: str
    checkpoint: str = Field(description="digest")
    dtype: str
    engine: str
    arrivals: Arrivals
    backends: list[Backend]
    order: Order
    repeats: int = Field(description="asked for")
    repeats_done: int = Field(description="of the backend that has fewest whole blocks")
    slo: Slo
    instance: Instance
    prices: list[PriceList]
    seed: int = Field(description="of the resampling")
    resamples: int
    confidence: float = Field(description="of every interval: 0.95")
    dispatch_lag_p99: float | None = Field(description="the worst block's")
    valid: bool
    invalid: list[str] = Field(description="why not, block by block")
    interrupted: bool
    blocks: list[Block]

    @property
    def not_measured(self) -> list[str]:
        """Backends that no request was sent to, in any block, since they could not be brought up."""
        failed = dict.fromkeys(block.backend for block in self.blocks if block.error is not None)
        return [name for name in failed if not any(block.sent for block in self.blocks if block.backend == name)]


class Percentiles(Model):
    """One kind of latency of one backend, of all, cold or warm requests."""

    measure: Measure
    which: Which
    mean: Estimate
    p50: Estimate
    p90: Estimate
    p95: Estimate
    p99: Estimate


class Trend(Model):
    """Whether a quantity grew over the blocks: its slope per second, and whether the interval lies above 0."""

    slope: Estimate
    grows: bool


class Steadiness(Model):
    """Whether the traffic reached a steady state on a backend, and whether the backend could keep up."""

    steady: bool | None = Field(description="None: too little was recorded to tell")
    saturated: bool = Field(description="queue and time to the first token both grow")
    why: str = Field(description="a sentence for people")
    halves: Estimate = Field(description="mean seconds to the first token: second half of a block minus the first")
    queue: Trend | None = None
    ttft: Trend | None = None


class Usage(Model):
    """What a backend used, all blocks together."""

    seconds_by_phase: dict[str, float] = Field(description="device-seconds: starting/STAGE, prefill, decode, idle, ...")
    seconds: Estimate = Field(description="device-seconds of a request")
    memory_gib_seconds: float
    tokens_in: int
    tokens_out: int
    tokens_cached: int
    tokens_saved: int = Field(0, description="left out of prompts by compression, beside tokens_in")
    fetched_bytes: int


class Cost(Model):
    """What the traffic costs on one backend by one offer of a price list.

    `per_month` is the bill for this traffic all month long, free tiers and floors applied; the others are marginal.
    """

    backend: str = Field(description="name of a backend of the run; for kind 'tokens' the model that would be called")
    kind: Literal["measured", "tokens", "simulated"]
    offer: str = Field(description="id in the price files")
    title: str = Field(description="for people: provider and product")
    provider: str
    currency: str = "USD"
    always_on: bool = Field(description="billed all the time, used or not")
    per_thousand_requests: Estimate
    per_million_tokens: Estimate
    per_month: Estimate
    second_hand: bool = False
    date: str = Field("", description="of the price: YYYY-MM-DD")
    meets_slo: bool | None = Field(None, description="whether as many requests as the best backend's are within it")
    notes: list[str] = Field(default_factory=list, description="what the bill assumes")


class Saving(Model):
    """What compression of prompts has saved on one backend, at the price of one per-token API."""

    backend: str
    offer: str = Field(description="id of the token offer")
    title: str = Field(description="for people: provider and model")
    tokens_in: int = Field(description="sent")
    tokens_saved: int = Field(description="left out beside them")
    run_usd: float = Field(description="what the tokens left out would have cost, uncached, in the whole run")
    per_thousand_requests: Estimate = Field(description="of that, in USD")
    second_hand: bool = False
    date: str = Field("", description="of the price: YYYY-MM-DD")


class Row(Model):
    """One backend in the headline table."""

    backend: str
    kind: Kind
    always_on: int
    note: str = ""
    simulated: bool = False
    requests: int
    answered: int
    failures: dict[str, int] = Field(description="misses by what they are")
    error: str | None = Field(None, description="what it died of")
    latencies: list[Percentiles]
    attainment: Estimate = Field(description="part of the requests within the SLO; misses count against it")
    goodput: Estimate = Field(description="requests within the SLO per second")
    throughput: Estimate = Field(description="answered requests per second")
    cold_share: Estimate = Field(description="part of the requests that waited for a start; without a value: unknown")
    usage: Usage | None = Field(None, description="None: not metered")
    cold_start_seconds: float | None = Field(None, description="of an endpoint started by a command, the mean")
    resident_bytes: float | None = Field(None, description="of an endpoint's processes, the most")
    steadiness: Steadiness
    costs: list[Cost] = Field(default_factory=list)

    def latency(self, measure: Measure, which: Which) -> Percentiles | None:
        """Return one of its latencies; None where there is none of that kind."""
        return next((one for one in self.latencies if (one.measure, one.which) == (measure, which)), None)


class Difference(Model):
    """Two backends on the same requests, request by request: first minus second."""

    measure: DifferenceMeasure
    first: str
    second: str
    unit: str
    difference: Estimate
    floor: float | None = Field(None, description="what two copies of one backend differ by; None: no A/A run")
    verdict: Literal["lower", "higher", "none", "unknown"] = Field(
        description="'none' where the interval holds 0 or the difference is below the floor"
    )


class Noise(Model):
    """What two copies of one backend differed by in this run: the A/A pair."""

    backend: str
    twin: str
    floors: dict[str, float] = Field(description="by measure of Difference: largest absolute end of the interval")


class Threat(Model):
    """A reason for which the figures may not hold, or not elsewhere."""

    weight: Literal["fatal", "serious", "limit"] = Field(
        description="fatal: do not use the figures; serious: use with care; limit: says nothing beyond"
    )
    title: str
    text: str


class Answer(Model):
    """The answer in one sentence, and how far it reaches."""

    sentence: str
    holds_for: str
    says_nothing_of: str
    offer: str = Field("", description="that it was computed with")
    ratio: Estimate = Estimate()
    break_even: Estimate = Estimate()


class Report(Model):
    """Everything that the page, the text and the figures say."""

    format: Literal[1] = 1
    title: str
    header: Header
    answer: Answer
    rows: list[Row]
    differences: list[Difference]
    noise: Noise | None = Field(None, description="None: no A/A pair was run")
    token_costs: list[Cost] = Field(description="what the same tokens would cost from an API")
    savings: list[Saving] = Field([], description="of compressed prompts; none where nothing was left out")
    validations: list[CheckpointResult] = Field([], description="of the checkpoint; none where none were kept")
    latency_curves: list[LatencyCurve]
    waterfalls: list[Waterfall]
    timelines: list[Timeline]
    break_evens: list[BreakEven]
    surfaces: list[Surface]
    hybrids: list[Hybrid]
    pareto: list[ParetoPoint]
    attainment: list[AttainmentPoint]
    ablations: list[Ablation]
    threats: list[Threat]
    missing: list[str] = Field(description="what the folder did not hold, or only in part")

    def row(self, backend: str) -> Row:
        """Return the row of a backend; KeyError where there is none."""
        for row in self.rows:
            if row.backend == backend:
                return row
        raise KeyError(backend)
