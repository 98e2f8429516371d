"""Logs follow the path of their file, and say once what comes again and again."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from quickthaw_platform.metering.throttle import KINDS, PERIOD_SECONDS, SHOWN, Throttle

WRITER = """
import logging, os, sys
from quickthaw_platform.metering import logs
logs.configure("info", "test")
for line in sys.stdin:
    logging.getLogger("a").info(line.strip())
    if line.startswith("native"):
        os.write(1, b"from C\\n")
    os.write(int(sys.argv[1]), b"done\\n")
"""


class Writer:
    """A process whose output goes to a file, as a supervisor starts it."""

    def __init__(self, log: Path) -> None:
        ours, theirs = os.pipe()
        command = [sys.executable, "-c", WRITER, str(theirs)]
        with log.open("ab") as file:
            self.popen = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=file, stderr=file, text=True, pass_fds=[theirs]
            )
        os.close(theirs)
        self._answers = os.fdopen(ours)

    def write(self, line: str) -> None:
        """Have it log a line, and return when it has."""
        assert self.popen.stdin is not None
        self.popen.stdin.write(line + "\n")
        self.popen.stdin.flush()
        assert self._answers.readline() == "done\n"

    def end(self) -> None:
        """End it."""
        assert self.popen.stdin is not None
        self.popen.stdin.close()
        self.popen.wait(60)
        self._answers.close()


def messages(log: Path) -> list[str]:
    return [json.loads(line)["message"] if line.startswith("{") else line for line in log.read_text().splitlines()]


@pytest.mark.parametrize(
    "set_aside",
    [
        lambda log: log.rename(log.with_suffix(".moved")),
        lambda log: log.unlink(),
        lambda log: (log.rename(log.with_suffix(".moved")), log.touch()),  # logrotate's `create`
    ],
)
def test_a_log_that_was_moved_is_begun_anew_at_its_path(set_aside: Callable[[Path], object], tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    writer = Writer(log)
    try:
        writer.write("first")
        set_aside(log)
        writer.write("second")
        writer.write("native")
    finally:
        writer.end()
    assert messages(log) == ["second", "native", "from C"]
    moved = log.with_suffix(".moved")
    assert not moved.exists() or messages(moved) == ["first"]


def test_a_log_whose_folder_is_gone_goes_on_in_its_file(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    writer = Writer(folder / "worker.log")
    try:
        folder.rename(tmp_path / "moved")
        writer.write("still here")
    finally:
        writer.end()
    assert messages(tmp_path / "moved" / "worker.log") == ["still here"]


class Clock:
    """A clock that is set."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def record(text: object, level: int = logging.ERROR, name: str = "a", *arguments: object) -> logging.LogRecord:
    return logging.LogRecord(name, level, __file__, 1, text, arguments, None)


def test_what_repeats_is_written_a_few_times_and_then_counted() -> None:
    clock = Clock()
    throttle = Throttle(clock)
    written = [throttle.filter(record("lost %s", logging.ERROR, "a", i)) for i in range(SHOWN + 7)]
    assert written == [True] * SHOWN + [False] * 7
    clock.now = PERIOD_SECONDS
    later = record("lost %s", logging.ERROR, "a", "again")
    assert throttle.filter(later)
    assert later.getMessage() == "lost again (7 more like this were left out)"
    clock.now = 3 * PERIOD_SECONDS
    quiet = record("lost %s", logging.ERROR, "a", "again")
    assert throttle.filter(quiet)
    assert "left out" not in quiet.getMessage()


def test_structured_lines_carry_the_count() -> None:
    clock = Clock()
    throttle = Throttle(clock)
    trace = "Traceback\n  File …\nredis.ConnectionError: refused"
    for second in range(SHOWN + 3):
        event = {"event": "round failed", "timestamp": str(second), "exception": trace, "after": second}
        throttle.filter(record(event))
    clock.now = PERIOD_SECONDS
    later = record({"event": "round failed", "timestamp": "x", "exception": trace, "after": 9})
    assert throttle.filter(later)
    assert later.msg["left_out"] == 3  # type: ignore[index]


@pytest.mark.parametrize(
    "other",
    [
        record("another text"),
        record("text", logging.WARNING),
        record("text", logging.ERROR, "another logger"),
        record({"event": "text", "invocation": "i-2"}),
        record({"event": "text", "exception": "Traceback\nValueError: x"}),
    ],
)
def test_what_is_not_alike_is_written(other: logging.LogRecord) -> None:
    throttle = Throttle(Clock())
    for _ in range(SHOWN + 1):
        throttle.filter(record("text"))
        throttle.filter(record({"event": "text", "invocation": "i-1"}))
    assert not throttle.filter(record("text"))
    assert throttle.filter(other)


def test_information_is_never_left_out() -> None:
    throttle = Throttle(Clock())
    assert all(throttle.filter(record("text", logging.INFO)) for _ in range(100))


def test_kinds_that_are_told_apart_are_bounded() -> None:
    throttle = Throttle(Clock())
    for number in range(KINDS + 10):
        assert throttle.filter(record(f"text {number}"))
    assert len(throttle._kinds) == KINDS
