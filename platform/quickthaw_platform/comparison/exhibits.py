"""The data of each figure of the report. `simulated` is to be drawn dashed, `saturated` hatched."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from quickthaw_platform.comparison.estimates import Estimate, Measure, Which
from quickthaw_platform.comparison.recording import Kind, Model

Quantile = Literal["p99", "p95", "p90", "p50"]


class Curve(Model):
    """Points of a line: `x` and `y` are equally long."""

    label: str
    backend: str
    x: list[float]
    y: list[float]


class LatencyCurve(Curve):
    """Cumulative distribution: `y` is the part of the requests (with misses) that took at most `x` seconds."""

    measure: Measure
    which: Which
    count: int


class Stage(Model):
    """One stage of a cold start."""

    name: str
    seconds: float = Field(description="mean over the cold requests; 0 for those that lack it")


class Waterfall(Model):
    """Where the time of a cold request went until its first token, in order; what no stage explains is `other`."""

    backend: str
    count: int = Field(description="cold requests")
    stages: list[Stage]
    ttft: float = Field(description="mean seconds to the first token of those requests")


class Timeline(Model):
    """Instances and queue of one block over time; all lists are equally long."""

    backend: str
    repeat: int
    at: list[float]
    instances_starting: list[int]
    instances_ready: list[int]
    in_use: list[int]
    queued: list[int]


class CostPoint(Model):
    """What one backend cost at one rate."""

    label: str
    backend: str
    kind: Kind
    rate: float = Field(description="requests per second")
    per_thousand_requests: Estimate
    simulated: bool = False
    saturated: bool = False


class BreakEven(Model):
    """Cost per 1,000 requests against the rate: closed forms as curves, and the measured and simulated points.

    `rates`, `serverless`, `low`, `high` and `serverful` are equally long. `low` and `high` are the interval of the
    serverless curve, from the measured service and start times. One instance suffices up to `most_rate`.
    """

    title: str
    serverless_offer: str
    serverful_offer: str
    currency: str = "USD"
    cv: float
    keep_alive: float
    service_seconds: Estimate = Field(description="that a warm request keeps an instance busy")
    start_seconds: Estimate
    replicas: int
    rates: list[float] = Field(description="requests per second, ascending")
    serverless: list[float]
    low: list[float]
    high: list[float]
    serverful: list[float]
    crossing: Estimate = Field(description="the rate at which both cost the same; below it serverless is cheaper")
    always: Literal["serverless", "serverful"] | None = Field(None, description="cheaper at every rate: no crossing")
    most_rate: float
    points: list[CostPoint]


class Surface(Model):
    """Serverless cost by serverful cost over rate and burstiness. `ratio[i][j]` belongs to `cvs[i]` and `rates[j]`."""

    title: str
    serverless_offer: str
    serverful_offer: str
    rates: list[float]
    cvs: list[float]
    ratio: list[list[float]]
    crossings: list[float | None] = Field(description="by cv: the rate of equal cost; None: none below most_rate")
    here_rate: float = Field(description="of this run")
    here_cv: float | None


class BaseChoice(Model):
    """A hybrid's cost with so many instances always on and the rest of the measured demand served by calls."""

    base: int
    per_thousand_requests: float
    best: bool
    overflow_share: float = Field(description="part of the busy instance-seconds that is beyond the base")


class Hybrid(Model):
    """How much base is best on a pair of offers, from the demand over time that was measured."""

    title: str
    serverless_offer: str
    serverful_offer: str
    currency: str = "USD"
    demand_of: str = Field(description="the backend whose instances in use were taken as the demand")
    choices: list[BaseChoice]


class ParetoPoint(Model):
    """Cost and latency of one backend by one offer."""

    label: str
    backend: str
    offer: str
    ttft_p99: Estimate = Field(description="where there are too few for p99, p90 stands here and `quantile` says so")
    quantile: Quantile = "p99"
    per_thousand_requests: Estimate
    currency: str = "USD"
    front: bool = Field(description="no other measured point is both cheaper and faster: a corner of the steps")
    simulated: bool = False
    saturated: bool = False


class AttainmentPoint(Model):
    """Part of the requests within the SLO at one rate."""

    backend: str
    rate: float
    attainment: Estimate
    simulated: bool = False
    saturated: bool = False


class Ablation(Model):
    """The same backend in a run where one part was changed."""

    part: str = Field(description="loader, keep-alive policy, allocation policy, ...")
    label: str = Field(description="what stood in its place")
    backend: str
    baseline: bool = Field(description="this run itself")
    ttft_mean: Estimate
    ttft_p50: Estimate
    ttft_p99: Estimate
    cold_share: Estimate
    attainment: Estimate
    device_seconds: Estimate = Field(description="of a request")
    comparable: bool = Field(description="whether model, arrivals and machine are the same")
