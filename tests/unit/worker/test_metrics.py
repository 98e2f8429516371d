"""The metrics' names are those that dashboards know; traces cost nothing until they are asked for."""

from __future__ import annotations

import subprocess
import sys

from prometheus_client import REGISTRY

from quickthaw_platform.metering import metrics  # noqa: F401 - registers what is looked for
from quickthaw_platform.metering.tracing import Tracer

NAMES = {
    "quickthaw_time_to_first_token_seconds",
    "quickthaw_inter_token_latency_seconds",
    "quickthaw_e2e_request_latency_seconds",
    "quickthaw_request_queue_time_seconds",
    "quickthaw_prompt_tokens",
    "quickthaw_generation_tokens",
    "quickthaw_request_success",
    "quickthaw_cold_starts",
    "quickthaw_startup_seconds",
    "quickthaw_migrations",
    "quickthaw_device_seconds",
}


def test_every_agreed_metric_exists() -> None:
    assert {family.name for family in REGISTRY.collect()} >= NAMES


def test_a_tracer_that_is_off_records_nothing_and_one_that_is_on_everything() -> None:
    Tracer().span("x", 1.0, 2.0, {})
    seen: list[tuple[object, ...]] = []
    Tracer(lambda *span: seen.append(span)).span("x", 1.0, 2.0, {"a": 1})
    assert seen == [("x", 1.0, 2.0, {"a": 1})]


def test_spans_reach_an_exporter_that_the_environment_asks_for() -> None:
    code = (
        "from quickthaw_platform.metering.tracing import configure;"
        "configure('worker').span('start', 1.0, 2.0, {'function': 'chat'})"
    )
    environment = {"OTEL_TRACES_EXPORTER": "console", "PATH": ""}
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment)
    assert '"name": "start"' in done.stdout
    assert '"function": "chat"' in done.stdout
