"""What is measured of an invocation: its wait and its length once, however many instances it was on."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import REGISTRY

from quickthaw.errors import HandlerFailed, NodeLost
from quickthaw.types import InvocationState, Limits
from quickthaw_platform.metering.tracing import Tracer
from quickthaw_platform.worker.flight import Flight, Work
from quickthaw_platform.worker.journal import End
from quickthaw_platform.worker.loop import Timer


class StillLoop:
    """A loop in which no time passes."""

    def later(self, _seconds: float, call: Any) -> Timer:
        return Timer(call)


class DeafWriter:
    def end(self, *_: Any) -> None:
        """Take an end, and write nothing."""


def flight(function: str, epoch: int, age_seconds: float) -> Flight:
    work = Work("id", epoch, "i", function, 1, {}, Limits(), age_seconds, created_at=1.0)
    loop: Any = StillLoop()
    writer: Any = DeafWriter()
    return Flight(loop, writer, work, most_prompt_tokens=1, most_bytes=1, tracer=Tracer(), on_timeout=print)


def measured(metric: str, function: str) -> tuple[float, float]:
    """Return how many values there are and their sum, rounded."""
    labels = {"model_name": function}
    values = [REGISTRY.get_sample_value(f"quickthaw_{metric}_{part}", labels) or 0 for part in ("count", "sum")]
    return values[0], round(values[1])


LOST = End(InvocationState.FAILED, error=NodeLost("gone"), lost=True)
FAILED = End(InvocationState.FAILED, error=HandlerFailed("no"))


def test_a_call_that_goes_on_elsewhere_has_waited_and_ended_once() -> None:
    flight("moved", epoch=1, age_seconds=3.0).end(LOST)
    flight("moved", epoch=2, age_seconds=50.0).leave(has_ended=False)  # moved on to another node
    flight("moved", epoch=3, age_seconds=90.0).end(FAILED)
    assert measured("request_queue_time_seconds", "moved") == (1, 3)
    assert measured("e2e_request_latency_seconds", "moved") == (1, 90)


@pytest.mark.parametrize("has_ended", [True, False])
def test_what_ended_elsewhere_counts_as_ended(has_ended: bool) -> None:
    flight(f"left-{has_ended}", epoch=1, age_seconds=5.0).leave(has_ended=has_ended)
    assert measured("e2e_request_latency_seconds", f"left-{has_ended}") == ((1, 5) if has_ended else (0, 0))
