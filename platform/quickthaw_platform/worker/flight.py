"""An invocation on its instance, seen by the agent: relays what it puts out, keeps its limits, measures it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from quickthaw.errors import QuickthawError
from quickthaw.types import InvocationState, Limits, Usage
from quickthaw_platform.invocations.records import Chunk, ColdStart, History, Record, compact
from quickthaw_platform.invocations.store import NOTHING
from quickthaw_platform.metering import metrics
from quickthaw_platform.metering.tracing import Tracer
from quickthaw_platform.metering.usage.device_meter import Tokens
from quickthaw_platform.worker import limits as rules
from quickthaw_platform.worker.frames import Frame, ProtocolError
from quickthaw_platform.worker.instance_reports import json_of, mark_of
from quickthaw_platform.worker.journal import End, Journal
from quickthaw_platform.worker.loop import Loop, Timer
from quickthaw_platform.worker.reported_usage import UNHEARD_TOKENS_PER_SECOND, Heard, plausible, usage_of
from quickthaw_platform.worker.writer import Writer


@dataclass(frozen=True, slots=True)
class Work:
    """An invocation that this node has begun: all that its instance and its limits need."""

    invocation: str
    epoch: int
    instance: str
    function: str
    next_seq: int
    request: Mapping[str, Any]
    limits: Limits
    age_seconds: float  # since its acceptance, by Redis' clock, when it was begun
    created_at: float  # Unix seconds, Redis' clock
    again: bool = False  # it had an owner before, and may be run again
    silent_seconds: float | None = None  # since its last output, when it was read; None: it has had none
    history: History = NOTHING  # of its earlier owners
    key: str = ""  # id of the API key it came with; empty: none
    resumable: bool = True  # its instance tells all that the model says, for a later owner


def recorded(history: History) -> Frame:
    """Return what the instance takes of a history (see handlers.Runner)."""
    return {"outputs": list(history.outputs), "records": list(history.records)}


def invoke_frame(work: Work, life: int, *, is_open: bool = False) -> Frame:
    """Return the frame that has the instance serve an invocation, from where its history ends.

    `is_open`: that still grows, and nothing goes on live before it is closed. All that comes of it names the `life`,
    so that what an earlier one still says is not taken for it.
    """
    frame = {"t": "invoke", "invocation": work.invocation, "life": life, "request": dict(work.request)}
    if work.history == NOTHING and not is_open:
        return frame
    return frame | {"recorded": recorded(work.history) | {"open": is_open}}


def _left_out_bytes(request: Mapping[str, Any]) -> int:
    """Return the length of the texts that the gateway shortened for this call."""
    return sum(len(text.encode()) for _, text in request.get("compression", {}).get("originals", ()))


class Flight:
    """For the loop's thread only."""

    def __init__(
        self,
        loop: Loop,
        writer: Writer,
        work: Work,
        *,
        most_prompt_tokens: int,
        most_bytes: int,
        tracer: Tracer,
        on_timeout: Callable[[Flight, QuickthawError], None],
    ) -> None:
        """Its clocks begin now: call it when the instance is given the work.

        What the instance says of it is checked: no prompt has more tokens than `most_prompt_tokens`, and all that it
        says, as JSON, is no longer than `most_bytes`. The methods that take it raise ProtocolError.
        """
        self.work = work
        self.journal = Journal(work.invocation, work.epoch, work.next_seq, work.history.position + 1)
        self.over = False
        self.is_silent = True  # its instance has said nothing of it
        self._loop = loop
        self._writer = writer
        self._tracer = tracer
        self._on_timeout = on_timeout
        self._bytes_left = most_bytes
        self._heard = Heard(most_prompt_tokens)
        for _, delta in work.history.records:
            self._heard.take(delta)
        self._told: Tokens | None = None  # what its handler says that it has used
        now = time.monotonic()
        self._created = now - work.age_seconds
        self._progress = rules.Progress(begun=now, total_deadline=self._created + work.limits.total)
        self._timer: Timer = loop.later(0, self._check)
        self._put_out_at = 0.0  # by its instance's word: several outputs come together (the clock is the same)
        self._gaps: list[float] = []  # seconds between outputs of this round of the loop
        self._latency = metrics.inter_token_latency_seconds.labels(work.function)
        if work.epoch == 1:  # what takes it later goes on with it
            metrics.queue_time_seconds.labels(work.function).observe(work.age_seconds)

    @property
    def held_seconds(self) -> float:
        """How long it has held its slot."""
        return time.monotonic() - self._progress.begun

    @property
    def tokens(self) -> Tokens:
        """What it has used: by its handler's own word when that is done, else as far as it was heard of."""
        return self._told or self._heard.tokens

    def chunk(self, frame: Frame) -> None:
        """Relay an output."""
        if self.over:
            return
        self.is_silent = False
        body = self._said({"delta": frame["delta"]} if "delta" in frame else {"value": frame["value"]})
        mark = mark_of(frame)
        now = time.monotonic()
        if self._progress.last_output is None:
            self._first_output(now)
        else:
            self._note_gap(frame["at"] - self._put_out_at)
        self._put_out_at = frame["at"]
        self._progress.last_output = now
        if mark:
            self._heard.take(frame["delta"])
        self._writer.chunk(self.journal, Chunk(body, mark))

    def record(self, frame: Frame) -> None:
        """Keep model output that its handler has not put out."""
        if not self.over:
            self.is_silent = False
            delta = self._said(frame["delta"])
            mark = mark_of(frame)
            self._heard.take(frame["delta"])
            self._writer.record(self.journal, Record(mark, delta))

    def done(self, frame: Frame, start: ColdStart) -> None:
        """End it with the handler's result."""
        self._said(frame["value"])
        usage = self._usage(frame["usage"])
        saved = usage.saved_tokens
        self._told = Tokens(usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens, saved)
        if self._progress.last_output is None and self.work.silent_seconds is None:
            elapsed = time.monotonic() - self._created
            metrics.time_to_first_token_seconds.labels(self.work.function).observe(elapsed)
        metrics.prompt_tokens_total.labels(self.work.function).inc(usage.prompt_tokens)
        if saved:
            metrics.prompt_tokens_saved_total.labels(self.work.function).inc(saved)
        metrics.generation_tokens_total.labels(self.work.function).inc(usage.completion_tokens)
        metrics.request_success_total.labels(self.work.function).inc()
        self.end(End(InvocationState.SUCCEEDED, result=frame["value"], usage=usage, start=start))

    def _said(self, said: object) -> str:
        """Return something that its instance said as JSON, where it may still say so much."""
        body = json_of(said)
        self._bytes_left -= len(body)
        if self._bytes_left < 0:
            raise ProtocolError("it has said more of one invocation than max_output lets it")
        return body

    def _first_output(self, now: float) -> None:
        self._progress.last_output = now
        self._arm()  # the limit may run out sooner now; later outputs only move it away
        if self.work.silent_seconds is None:
            metrics.time_to_first_token_seconds.labels(self.work.function).observe(now - self._created)
        else:
            gap = self.work.silent_seconds + now - self._progress.begun
            metrics.stream_gap_seconds.labels(self.work.function).observe(gap)

    def _note_gap(self, seconds: float) -> None:
        if not self._gaps:
            self._loop.soon(self._measure_gaps)
        self._gaps.append(seconds)

    def _measure_gaps(self) -> None:
        gaps, self._gaps = self._gaps, []
        self._latency.observe_each(gaps)

    def _usage(self, claimed: object) -> Usage:
        request = self.work.request
        return plausible(
            usage_of(claimed),
            self._heard.tokens,
            _left_out_bytes(request),
            lambda: len(compact(request)) + int(self.held_seconds * UNHEARD_TOKENS_PER_SECOND),
            tells=self.work.resumable,
        )

    def failed(self, error: QuickthawError, start: ColdStart) -> None:
        """End it with the error that its handler met."""
        self._said(error.to_json())
        self.end(End(InvocationState.FAILED, error=error, start=start))

    def end(self, end: End) -> None:
        """End it; the first end counts."""
        if not self.over:
            self.leave(has_ended=not end.lost)
            self._writer.end(self.journal, end)

    def leave(self, *, has_ended: bool) -> None:
        """Let go of it without a word: it has ended otherwise, or has another owner."""
        if not self.over:
            self.over = True
            self._timer.cancel()
            now = time.monotonic()
            if has_ended:
                metrics.e2e_request_latency_seconds.labels(self.work.function).observe(now - self._created)
            self._trace(now)

    def _trace(self, now: float) -> None:
        work = self.work
        attributes: dict[str, str | int | float] = {
            "invocation": work.invocation,
            "function": work.function,
            "instance": work.instance,
            "epoch": work.epoch,
        }
        self._tracer.span("invocation", work.created_at, work.created_at + now - self._created, attributes)

    def _check(self) -> None:
        if self.over:
            return
        now = time.monotonic()
        error = rules.verdict(self.work.limits, self._progress, now)
        if error is None:
            self._arm()
        else:
            self._on_timeout(self, error)

    def _arm(self) -> None:
        self._timer.cancel()
        wait = rules.deadline(self.work.limits, self._progress) - time.monotonic()
        self._timer = self._loop.later(max(0.0, wait), self._check)
