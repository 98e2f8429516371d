"""The lowest priority while a beginning is read, and back."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from quickthaw_platform.worker import priming


@pytest.mark.parametrize(("comes_back", "policy"), [(True, os.SCHED_IDLE), (False, os.SCHED_BATCH)])
def test_reading_runs_at_the_lowest_priority_that_can_be_left_again(
    monkeypatch: pytest.MonkeyPatch, comes_back: bool, policy: int
) -> None:
    if comes_back and not priming._may_come_back():
        pytest.skip("this user may not leave SCHED_IDLE")
    monkeypatch.setattr(priming, "_may_come_back", lambda: comes_back)
    before = os.sched_getscheduler(0)
    with priming.background():
        assert os.sched_getscheduler(0) == policy
    assert os.sched_getscheduler(0) == before


def test_where_the_priority_may_not_be_changed_it_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_pid: int, _policy: int, _param: os.sched_param) -> None:
        raise PermissionError

    before = os.sched_getscheduler(0)
    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    with priming.background():
        assert os.sched_getscheduler(0) == before


def test_the_memory_that_a_process_has_alone_is_counted() -> None:
    grown = (
        "import os; from quickthaw_platform.worker import priming; before = priming.own_bytes(); "
        "held = bytearray(os.urandom(1 << 16) * 512); "  # 32 MiB, each page written
        "print(priming.own_bytes() - before)"
    )  # in a process of its own: this one's memory comes and goes with other tests
    done = subprocess.run([sys.executable, "-c", grown], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 16 << 20


def test_a_kind_of_processor_is_told_from_others() -> None:
    assert priming.processor() == priming.processor()
    assert len(priming.processor().split()) > 1
