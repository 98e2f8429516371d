"""One OpenTelemetry span for each request, where the environment asks for traces."""

from __future__ import annotations

import time

from flask import Flask, Response, g, request

from quickthaw_platform.metering.tracing import Tracer


def observe(app: Flask, tracer: Tracer) -> None:
    """Record every request of `app`, from its arrival to the head of its answer; nothing with a tracer that is off."""
    if not tracer.is_on:
        return

    @app.before_request
    def begin() -> None:
        g.span_start = time.time()

    @app.after_request
    def end(response: Response) -> Response:
        attributes = {
            "http.request.method": request.method,
            "http.route": request.url_rule.rule if request.url_rule else "",
            "http.response.status_code": response.status_code,
            "quickthaw.request": g.get("request_id", ""),
            "quickthaw.invocation": response.headers.get("x-invocation-id", ""),
        }
        tracer.span("http.request", g.get("span_start", time.time()), time.time(), attributes)
        return response
