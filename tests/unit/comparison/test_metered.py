"""From what backends say they have used to lines of the usage table."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quickthaw.resources import UsageRow
from quickthaw_platform.comparison.metered import Slot, difference, seen_from_outside
from quickthaw_platform.comparison.rows import UsageLine
from quickthaw_platform.traffic.result import RequestResult

SLOT = Slot("b", 2)


def result(sent: float, first: float | None, end: float, **fields: Any) -> RequestResult:
    return RequestResult(0, sent, sent, first, (), end, 8, 4, **fields)


def phases(lines: list[UsageLine]) -> dict[str, float]:
    return {line.phase: line.seconds for line in lines if line.phase}


def test_what_was_used_before_the_block_is_not_counted() -> None:
    before = [UsageRow(phase="idle", seconds=5, memory_byte_seconds=50), UsageRow(phase="", requests=3, tokens_in=9)]
    after = [
        UsageRow(phase="idle", seconds=7, memory_byte_seconds=70),
        UsageRow(phase="decode", seconds=1),
        UsageRow(phase="", requests=4, tokens_in=10, tokens_out=2, fetched_bytes={"disk": 6, "remote": 1}),
    ]
    lines = difference(SLOT, before, after)
    assert phases(lines) == {"idle": 2, "decode": 1}
    [total] = [line for line in lines if not line.phase]
    assert (total.requests, total.tokens_in, total.tokens_out, total.fetched_bytes) == (1, 1, 2, 7)
    assert {(line.backend, line.repeat) for line in lines} == {("b", 2)}


def test_rows_of_several_instances_add_up() -> None:
    after = [UsageRow(phase="idle", seconds=1, version=v) for v in ("v1", "v2")]
    assert phases(difference(SLOT, [], after)) == {"idle": 2}


def test_nothing_used_is_no_line() -> None:
    same = [UsageRow(phase="idle", seconds=1)]
    assert difference(SLOT, same, same) == []


def test_from_outside_a_server_prefills_while_any_request_waits_and_decodes_while_one_runs() -> None:
    results = [
        result(0.0, 1.0, 3.0, prompt_tokens=8, completion_tokens=4),
        result(2.0, 2.5, 4.0, prompt_tokens=8, completion_tokens=4),
    ]
    lines = seen_from_outside(SLOT, results, 10.0, 0.0, memory_byte_seconds=70.0)
    assert phases(lines) == pytest.approx({"prefill": 1.5, "decode": 2.5, "idle": 6.0})
    [total] = [line for line in lines if not line.phase]
    assert (total.requests, total.tokens_in, total.tokens_out, total.memory_byte_seconds) == (2, 16, 8, 70.0)


def test_requests_that_failed_are_no_work() -> None:
    lines = seen_from_outside(SLOT, [result(0.0, None, 5.0, error="refused")], 10.0, 1.5, 0.0)
    assert phases(lines) == {"starting/command": 1.5, "idle": 10.0}


@given(st.lists(st.tuples(st.floats(0, 50), st.floats(0, 10), st.floats(0, 10)), max_size=20))
def test_the_phases_fill_the_block(spans: list[tuple[float, float, float]]) -> None:
    results = [result(sent, sent + wait, sent + wait + run) for sent, wait, run in spans]
    lines = seen_from_outside(SLOT, results, 100.0, 0.0, 0.0)
    assert sum(phases(lines).values()) == pytest.approx(100.0)
