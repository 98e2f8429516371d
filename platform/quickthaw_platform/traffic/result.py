"""What became of one request that the load generator sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class RequestResult:
    """One request as its client saw it. Times are seconds since the beginning of the run.

    Every latency counts from `intended`, the moment at which the arrival process wanted the request to be sent, and
    never from `sent`: a generator that falls behind must not hide how long its requests waited (coordinated
    omission). The fields after `error` are what the platform says of the invocation; None where the endpoint is not
    quickthaw.
    """

    number: int  # in order of intended send time, from 0
    intended: float
    sent: float  # when the request was really written
    first_token: float | None  # when the first output arrived; None: never
    gaps: tuple[float, ...]  # seconds between consecutive outputs, after the first
    end: float  # when the answer was complete, or the request was given up
    tokens_in: int  # that the trace asked for
    tokens_out: int  # that the trace asked for
    prompt_tokens: int | None = None  # that the server counted
    completion_tokens: int | None = None  # that the server counted
    error: str | None = None  # why it is a miss: a refusal, a break, a time-out, an abort
    invocation: str | None = None
    cold: bool | None = None  # whether it waited for the start of an instance
    tier: str | None = None  # where the weights of that start came from
    node: str | None = None
    queue: float | None = None  # seconds from acceptance until it held a slot
    stages: Mapping[str, float] = field(default_factory=dict)  # seconds of each stage of the start it waited for
    backend: str = ""  # of the comparison that it belongs to
    repeat: int = 0

    @property
    def ttft(self) -> float | None:
        """Seconds from the intended send to the first output; None for a request that got none."""
        return None if self.first_token is None else self.first_token - self.intended

    @property
    def e2e(self) -> float:
        """Seconds from the intended send to the end."""
        return self.end - self.intended

    @property
    def lag(self) -> float:
        """Seconds by which the generator was late."""
        return self.sent - self.intended

    @property
    def tpot(self) -> float | None:
        """Mean seconds between two outputs after the first; None where there were fewer than two."""
        return sum(self.gaps) / len(self.gaps) if self.gaps else None
