"""From what backends say they have used to the lines of `usage.csv`. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from quickthaw.resources import UsageRow
from quickthaw_platform.comparison.rows import UsageLine
from quickthaw_platform.traffic.result import RequestResult

PREFILL, DECODE, IDLE = "prefill", "decode", "idle"
STARTING_COMMAND = "starting/command"
FIGURES = 8
"""Of a line, in the order of `difference`."""


@dataclass(frozen=True, slots=True)
class Slot:
    """The block that lines are of."""

    backend: str
    repeat: int


def difference(slot: Slot, before: Sequence[UsageRow], after: Sequence[UsageRow]) -> list[UsageLine]:
    """Return what was used between two readings of the same backend, by phase."""
    totals: defaultdict[str, list[float]] = defaultdict(lambda: [0.0] * FIGURES)
    for sign, rows in ((-1, before), (1, after)):
        for row in rows:
            figures = (
                row.seconds, row.memory_byte_seconds, row.tokens_in, row.tokens_out, row.tokens_cached, row.requests,
                sum(row.fetched_bytes.values()), row.tokens_saved,
            )  # fmt: skip
            totals[row.phase or ""] = [
                total + sign * figure for total, figure in zip(totals[row.phase or ""], figures, strict=True)
            ]
    return [_line(slot, phase, figures) for phase, figures in sorted(totals.items()) if any(figures)]


def seen_from_outside(
    slot: Slot, results: Iterable[RequestResult], seconds: float, starting: float, memory_byte_seconds: float
) -> list[UsageLine]:
    """Return the phases of a server of which only its clients are known: `starting` seconds, then a block of `seconds`.

    It is taken to prefill while any request has had no output yet, to decode while else one runs, and to idle
    otherwise: what the platform's own meter counts too (metering).
    """
    answered = [result for result in results if result.error is None]
    waiting = _covered([(result.sent, result.first_token or result.end) for result in answered])
    running = _covered([(result.sent, result.end) for result in answered])
    tokens_in = sum(result.prompt_tokens or 0 for result in answered)
    tokens_out = sum(result.completion_tokens or 0 for result in answered)
    idle = max(0.0, seconds - running)
    phases = {STARTING_COMMAND: starting, PREFILL: waiting, DECODE: running - waiting, IDLE: idle}
    lines = [_line(slot, phase, [found]) for phase, found in phases.items() if found > 0]
    return [*lines, _line(slot, "", [0.0, memory_byte_seconds, tokens_in, tokens_out, 0, len(answered)])]


def _line(slot: Slot, phase: str, figures: Sequence[float]) -> UsageLine:
    seconds, memory, *counts = (max(0.0, figure) for figure in (*figures, *[0.0] * (FIGURES - len(figures))))
    tokens_in, tokens_out, cached, requests, fetched, saved = (round(count) for count in counts)
    return UsageLine(
        backend=slot.backend, repeat=slot.repeat, phase=phase, seconds=seconds, memory_byte_seconds=memory,
        tokens_in=tokens_in, tokens_out=tokens_out, tokens_cached=cached, requests=requests, fetched_bytes=fetched,
        tokens_saved=saved,
    )  # fmt: skip


def _covered(spans: list[tuple[float, float]]) -> float:
    """Return how long at least one of the spans lasts."""
    total, until = 0.0, float("-inf")
    for begin, end in sorted(spans):
        total += max(0.0, end - max(begin, until))
        until = max(until, end)
    return total
