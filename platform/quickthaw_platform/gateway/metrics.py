"""`GET /metrics`: what all processes of this machine counted, and gauges read from Redis at the moment of asking."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter as Tally
from collections.abc import Iterator, Mapping

from flask import Flask, Response, g, request
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from redis import Redis

from quickthaw_platform.contracts import InstanceState
from quickthaw_platform.errors import Unavailable, VersionNotFound
from quickthaw_platform.gateway.resource import ERRORS
from quickthaw_platform.gateway.services import services
from quickthaw_platform.gateway.turns import beside
from quickthaw_platform.invocations.outage import outage_is_unavailable
from quickthaw_platform.registry.functions import FunctionRegistry
from quickthaw_platform.router.view import read_view
from quickthaw_platform.stored_records import RecordUnreadable

MULTIPROCESS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_REQUESTS = Counter(
    "quickthaw_http_requests", "HTTP requests answered by the gateway", ["method", "endpoint", "status"]
)
_SECONDS = Histogram(
    "quickthaw_http_request_seconds",
    "From the request's arrival to the head of its answer",
    ["method", "endpoint"],
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300),
)

_one_at_a_time = threading.Lock()

api = APIBlueprint(
    "metrics", __name__, abp_tags=[Tag(name="health", description="For monitoring")], abp_responses=ERRORS
)


@api.get(
    "/metrics",
    responses={200: {"description": "Prometheus text", "content": {"text/plain": {"schema": {"type": "string"}}}}},
)
def metrics() -> Response:
    """Metrics in the text format of Prometheus."""
    body = _of_processes() + generate_latest(_cluster_registry(services().redis))
    return Response(body, content_type=CONTENT_TYPE_LATEST)


def observe(app: Flask) -> None:
    """Count and time every request of `app`."""

    @app.before_request
    def begin() -> None:
        g.began = time.monotonic()

    @app.after_request
    def end(response: Response) -> Response:
        endpoint, asked, began = request.endpoint or "unknown", request.method, g.get("began")
        method = asked if asked in METHODS else "other"  # a client may invent any number of them
        _REQUESTS.labels(method, endpoint, str(response.status_code)).inc()
        if began is not None:
            _SECONDS.labels(method, endpoint).observe(time.monotonic() - began)
        return response


class ClusterCollector(Collector):
    """Gauges of the whole cluster; nothing while Redis is out of reach."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._registry = FunctionRegistry(redis)

    def collect(self) -> Iterator[Metric]:
        """Yield the gauges."""
        try:
            with outage_is_unavailable():
                view = read_view(self._redis)
                names = {record.name for record in self._registry.list()}
                waiting = self._waiting(view.waiting)
        except Unavailable:
            return
        running: Tally[str] = Tally()
        states: Tally[str] = Tally({state.value: 0 for state in InstanceState})
        for instance in view.instances:
            running[instance.function] += instance.in_use
            states[instance.state.value] += 1
        functions = sorted(names | set(running) | set(waiting))
        yield _gauge("num_requests_running", "Invocations that hold a slot", "model_name", functions, running)
        yield _gauge("num_requests_waiting", "Invocations that wait for a slot", "model_name", functions, waiting)
        yield _gauge("instances", "Instances by state", "state", sorted(states), states)
        held = GaugeMetricFamily("quickthaw_requests_held", "Requests held while something thaws for them")
        held.add_metric([], waiting.total())
        yield held

    def _waiting(self, lengths: Mapping[str, int]) -> Tally[str]:
        waiting: Tally[str] = Tally()
        for version, length in lengths.items():
            try:
                waiting[self._registry.version(version).function] += length
            except (VersionNotFound, RecordUnreadable):  # deleted more than a day ago, or of another release
                waiting["unknown"] += length
        return waiting


def _gauge(name: str, about: str, label: str, values: list[str], tally: Tally[str]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"quickthaw_{name}", about, labels=[label])
    for value in values:
        family.add_metric([value], tally[value])
    return family


def _of_processes() -> bytes:
    """Return what this process counted, or, where the variable names a folder, what all that share it did."""
    if MULTIPROCESS_VARIABLE not in os.environ:
        return generate_latest(REGISTRY)
    with _one_at_a_time:
        return beside(_added_up)


def _added_up() -> bytes:
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # the package leaves it unannotated
    return generate_latest(registry)


def _cluster_registry(redis: Redis) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(ClusterCollector(redis))
    return registry
