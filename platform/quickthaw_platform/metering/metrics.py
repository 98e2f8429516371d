"""What the platform's processes count, for Prometheus. With PROMETHEUS_MULTIPROC_DIR set, those of a machine add up.

Gauges of the whole cluster are counted nowhere: `gateway/metrics.py` reads them when it is asked.

The names and the label `model_name` (the function) are those that dashboards for inference servers know.
"""

from __future__ import annotations

import os

from quickthaw_platform.metering import counters_folder

counters_folder.prepare(os.environ)  # before the package is imported: it looks once

from prometheus_client import Counter  # noqa: E402

from quickthaw_platform.metering import counter_files  # noqa: E402
from quickthaw_platform.metering.histogram import Histogram  # noqa: E402

counter_files.install()  # before the first counter is made

PREFIX = "quickthaw"

_TOKEN_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.5)
_REQUEST_BUCKETS = (
    0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 640.0
)  # fmt: skip
_STAGE_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0)
_SHARE_BUCKETS = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 5.0, 10.0)

_MODEL = ("model_name",)


def _histogram(name: str, text: str, labels: tuple[str, ...], buckets: tuple[float, ...]) -> Histogram:
    return Histogram(name, text, labels, namespace=PREFIX, buckets=buckets)


def _counter(name: str, text: str, labels: tuple[str, ...]) -> Counter:
    return Counter(name, text, labels, namespace=PREFIX)


time_to_first_token_seconds = _histogram(
    "time_to_first_token_seconds", "Seconds from acceptance to the first output.", _MODEL, _REQUEST_BUCKETS
)
inter_token_latency_seconds = _histogram(
    "inter_token_latency_seconds", "Seconds between two outputs of an invocation.", _MODEL, _TOKEN_BUCKETS
)
e2e_request_latency_seconds = _histogram(
    "e2e_request_latency_seconds", "Seconds from acceptance to the end.", _MODEL, _REQUEST_BUCKETS
)
queue_time_seconds = _histogram(
    "request_queue_time_seconds", "Seconds from acceptance until an instance took it first.", _MODEL, _REQUEST_BUCKETS
)
prompt_tokens_total = _counter("prompt_tokens_total", "Tokens read.", _MODEL)
prompt_tokens_saved_total = _counter("prompt_tokens_saved_total", "Tokens that compression left out.", _MODEL)
generation_tokens_total = _counter("generation_tokens_total", "Tokens generated.", _MODEL)
request_success_total = _counter("request_success_total", "Invocations that succeeded.", _MODEL)

cold_starts_total = _counter(
    "cold_starts_total", "Instances started, by the tier the weights came from, or primed or asleep.", ("tier",)
)
prefix_leases_total = _counter(
    "prefix_leases_total", "Calls given to the instance that had read a beginning of their prompt.", _MODEL
)
chunk_repairs_total = Counter(
    "chunk_repairs_total", "Chunks of checkpoints that were wrong on a disk and fetched again.", namespace=PREFIX
)
startup_seconds = _histogram("startup_seconds", "Seconds of each stage of a start.", ("stage",), _STAGE_BUCKETS)
start_estimate_error = _histogram(
    "start_estimate_error", "|actual - predicted| / actual of a start's estimate, by way.", ("way",), _SHARE_BUCKETS
)
migrations_total = _counter("migrations_total", "Running generations moved to another node.", ("result",))
resumes_total = _counter("resumes_total", "Invocations that went on after the loss of what ran them.", _MODEL)
stream_gap_seconds = _histogram(
    "stream_gap_seconds",
    "Seconds between the last output before a loss or a move and the next.",
    _MODEL,
    _TOKEN_BUCKETS,
)
egress_requests_total = _counter(
    "egress_requests_total", "Requests of functions to the proxy of their node, by what became of them.", ("result",)
)
device_seconds_total = _counter(
    "device_seconds_total", "Seconds of instances starting, prefill, decode, idle and draining.", ("phase",)
)
