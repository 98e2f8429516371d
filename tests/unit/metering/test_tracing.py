from __future__ import annotations

import os

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from quickthaw_platform.metering import tracing


def test_a_collector_on_this_machine_is_reached_without_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    exporter = InMemorySpanExporter()
    monkeypatch.setattr("opentelemetry.exporter.otlp.proto.http.trace_exporter.OTLPSpanExporter", lambda: exporter)
    monkeypatch.setattr("opentelemetry.sdk.trace.export.BatchSpanProcessor", SimpleSpanProcessor)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "a.lan")
    monkeypatch.setenv("no_proxy", "a.lan")
    tracing.configure("test").span("work", 1.0, 2.0, {})
    assert os.environ["NO_PROXY"] == os.environ["no_proxy"] == "a.lan,localhost,127.0.0.1,127.0.0.0/8,::1"
    assert [span.name for span in exporter.get_finished_spans()] == ["work"]
