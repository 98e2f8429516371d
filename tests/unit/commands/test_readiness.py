"""Waits at a start: they end with what is waited for, or with why it does not come."""

from __future__ import annotations

import itertools
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from quickthaw_platform.commands.complaints import error_in
from quickthaw_platform.commands.host import Host
from quickthaw_platform.commands.readiness import READY_SECONDS, Readiness
from quickthaw_platform.commands.supervisor import Child, Supervisor
from quickthaw_platform.commands.workers import Worker
from quickthaw_platform.errors import Unavailable
from quickthaw_platform.redis_replies import CannotServe
from quickthaw_platform.settings import Settings

FULL = json.dumps({"process": "worker", "level": "error", "message": "no room", "error": "OSError:\nNo space left"})


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    made = Supervisor(tmp_path / "logs")
    made.log_dir.mkdir()
    yield made
    made.kill()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look at the clock finds it a second later, and nothing is slept."""
    seconds = itertools.count()
    monkeypatch.setattr("quickthaw_platform.commands.readiness.time.monotonic", lambda: float(next(seconds)))
    monkeypatch.setattr("quickthaw_platform.commands.readiness.time.sleep", lambda _seconds: None)


def _nothing(_text: str = "") -> None:
    """Do nothing."""


def _never() -> bool:
    return False


@pytest.mark.usefixtures("clock")
def test_who_waits_for_long_is_told_what_the_processes_have_logged_and_in_the_end_why_it_ends(
    supervisor: Supervisor,
) -> None:
    (supervisor.log_dir / "worker-1.log").write_text(json.dumps({"level": "error", "message": "of an earlier start"}))
    said: list[str] = []
    readiness = Readiness(supervisor, _never, said.append, said.append)
    with (supervisor.log_dir / "worker-1.log").open("a") as log:
        log.write(f"\n{FULL}\n")
    with pytest.raises(Unavailable, match=rf"node was not there after {READY_SECONDS:.0f} s; worker-1 says: no room"):
        readiness.wait("the node", _never, _nothing)
    assert said[0] == "waiting for the node"
    assert said[1].startswith("still waiting for the node after ")
    assert said[1].endswith(f"s; worker-1 says: no room (OSError: No space left); the logs are in {supervisor.log_dir}")
    assert len(said) == 4


@pytest.mark.usefixtures("clock")
def test_who_waits_for_what_nobody_complains_of_is_told_later(supervisor: Supervisor) -> None:
    said: list[str] = []
    with pytest.raises(Unavailable, match="no process has logged an error; the logs are in"):
        Readiness(supervisor, _never, _nothing, said.append).wait("the node", _never, _nothing)
    assert len(said) == 2


def test_a_check_that_fails_ends_the_wait(supervisor: Supervisor) -> None:
    def check() -> None:
        raise RedisConnectionError("gone")

    with pytest.raises(RedisConnectionError, match="gone"):
        Readiness(supervisor, _never, _nothing, _nothing).wait("the node", _never, check)


def _ended(supervisor: Supervisor) -> Child:
    """Run a process that says something and ends."""
    child = supervisor.start("valkey", (sys.executable, "-c", "print('no memory'); exit(3)"), os.environ)
    assert child.popen is not None
    child.popen.wait(20)
    return child


def _given_up(readiness: Readiness, child: Child) -> None:
    """Wait for a process as one who gives up at the first look, and says what that look showed."""
    with readiness.of("Valkey", child) as may_come:
        raise Unavailable(f"may come: {may_come()}")


def test_a_process_that_ended_is_told_with_its_status_and_the_end_of_its_log(supervisor: Supervisor) -> None:
    readiness = Readiness(supervisor, _never, _nothing, _nothing)
    with pytest.raises(Unavailable, match="come: False; valkey ended with status 3 while starting:\nno memory"):
        _given_up(readiness, _ended(supervisor))


def test_a_process_that_runs_and_does_not_serve_is_told_with_the_end_of_its_log(supervisor: Supervisor) -> None:
    child = supervisor.start("valkey", (sys.executable, "-c", "import time; time.sleep(600)"), os.environ)
    readiness = Readiness(supervisor, _never, _nothing, _nothing)
    with pytest.raises(Unavailable, match=r"come: True; the end of the log of valkey:\n\(nothing\)"):
        _given_up(readiness, child)


def test_an_interrupt_during_a_wait_is_no_failure_of_the_process(supervisor: Supervisor) -> None:
    readiness = Readiness(supervisor, lambda: True, _nothing, _nothing)
    with pytest.raises(KeyboardInterrupt):
        _given_up(readiness, _ended(supervisor))
    with pytest.raises(KeyboardInterrupt):
        readiness.wait("the node", _never, _nothing)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (FULL, "no room (OSError: No space left)"),
        ('{"level": "critical", "message": "ended"}', "ended"),
        ('{"level": "warning", "message": "slow"}', None),
        ('{"level": "info"', None),  # half a line
        ('["error"]', None),
        ("Traceback (most recent call last):", None),
    ],
)
def test_errors_in_a_log(line: str, said: str | None) -> None:
    assert error_in(line) == said


@pytest.mark.parametrize(
    ("error", "own", "said"),
    [
        (
            CannotServe("MISCONF: No space left", "MISCONF"),
            True,
            r"disk of the data directory \S+ does not take .*room",
        ),
        (CannotServe("OOM command not allowed", "OOM"), True, "all that it may have .*OOM.* by QUICKTHAW_STORE_MEMORY"),
        (CannotServe("BUSY running a script", "BUSY"), True, r"embedded Valkey cannot be used: BUSY.*valkey\.log"),
        (
            CannotServe("READONLY You cannot write", "READONLY"),
            False,
            "Redis cannot serve: .*check QUICKTHAW_REDIS_URL",
        ),
        (RedisConnectionError("Connection refused"), False, "Redis cannot be reached: .*check QUICKTHAW_REDIS_URL"),
    ],
)
def test_a_redis_that_cannot_be_used_at_the_start_is_told_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, own: bool, said: str
) -> None:
    host = Host(Settings(data_dir=tmp_path, port=0), workers=[Worker("n1")], interrupted=_never)

    def start(_readiness: Readiness) -> Any:
        if own:
            host._valkey_sync = NoSync()  # type: ignore[assignment]  # as _start_valkey leaves one
        raise error

    monkeypatch.setattr(host, "_start", start)
    with pytest.raises(Unavailable, match=said):
        host.start(_nothing)


class NoSync:
    """Stands in for a thread that was never started."""

    def close(self) -> None:
        """Do nothing."""
