"""Results of requests for the tests."""

from __future__ import annotations

from typing import Any

from quickthaw_platform.traffic.result import RequestResult


def result(number: int = 0, **changes: Any) -> RequestResult:
    """Return a request that was answered well: first token after 0.5 s, two more 0.1 s apart."""
    at = float(number)
    fields: dict[str, Any] = {
        "intended": at, "sent": at + 0.001, "first_token": at + 0.5, "gaps": (0.1, 0.1), "end": at + 0.75,
        "tokens_in": 10, "tokens_out": 3, "prompt_tokens": 11, "completion_tokens": 3,
    }  # fmt: skip
    return RequestResult(number, **(fields | changes))


COLD = result(
    1, invocation="inv-1", cold=True, tier="disk", node="n", queue=0.2, stages={"weights": 0.1, "fork": 0.05},
    backend="serverless", repeat=2,
)  # fmt: skip
MISSED = result(2, first_token=None, gaps=(), error='refused with 429: "full",\nreally', prompt_tokens=None)
