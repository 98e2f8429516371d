"""OpenTelemetry spans, when the usual environment variables ask for them; without them nothing is imported."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from quickthaw.proxies import spare_loopback

_VARIABLES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_TRACES_EXPORTER")

Attributes = Mapping[str, str | int | float]


def wanted(environment: Mapping[str, str]) -> bool:
    """Whether the environment asks for traces."""
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    exporter = environment.get("OTEL_TRACES_EXPORTER")
    return exporter != "none" and any(environment.get(name) for name in _VARIABLES)


class Tracer:
    """Records finished pieces of work as spans; a tracer that is off does nothing."""

    def __init__(self, record: Callable[[str, float, float, Attributes], None] | None = None) -> None:
        self._record = record

    @property
    def is_on(self) -> bool:
        """Whether anything is recorded."""
        return self._record is not None

    def span(self, name: str, start: float, end: float, attributes: Attributes) -> None:
        """Record a piece of work between two moments (Unix seconds)."""
        if self._record is not None:
            self._record(name, start, end, attributes)


def configure(process: str) -> Tracer:
    """Return the process's tracer; `process` is the service's name where OTEL_SERVICE_NAME gives none."""
    if not wanted(os.environ):
        return Tracer()
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter

    exporter: SpanExporter
    if os.environ.get("OTEL_TRACES_EXPORTER") == "console":
        exporter = ConsoleSpanExporter()
    else:
        spare_loopback(os.environ)  # a collector on this machine is reached without the proxy
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        exporter = OTLPSpanExporter()
    name = os.environ.get("OTEL_SERVICE_NAME", f"quickthaw-{process}")
    provider = TracerProvider(resource=Resource.create({"service.name": name}))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    tracer = provider.get_tracer("quickthaw")

    def record(name: str, start: float, end: float, attributes: Attributes) -> None:
        span = tracer.start_span(name, start_time=int(start * 1e9), attributes=dict(attributes))
        span.end(end_time=int(end * 1e9))

    return Tracer(record)
