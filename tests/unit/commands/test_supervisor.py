from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from structlog.testing import capture_logs

from quickthaw_platform.commands.supervisor import LOG_BYTES, Supervisor

PATIENCE_SECONDS = 20.0

STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
)
POLITE = "import time; print('up', flush=True); time.sleep(600)"


def wait_for(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen"
        time.sleep(0.02)


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    made = Supervisor(tmp_path / "logs")
    yield made
    made.kill()


def start(supervisor: Supervisor, name: str, code: str) -> psutil.Process:
    """Start Python with this code and wait until it has printed something."""
    child = supervisor.start(name, (sys.executable, "-c", code), os.environ)
    wait_for(lambda: child.log.exists() and child.log.stat().st_size, f"output of {name}")
    assert child.popen is not None
    return psutil.Process(child.popen.pid)


def test_output_goes_to_the_log_of_its_name(supervisor: Supervisor, tmp_path: Path) -> None:
    start(supervisor, "worker-1", POLITE)
    assert (tmp_path / "logs" / "worker-1.log").read_text() == "up\n"


def test_stopping_is_in_the_order_asked_for(supervisor: Supervisor) -> None:
    worker, gateway = start(supervisor, "worker", POLITE), start(supervisor, "gateway", POLITE)
    supervisor.stop(["worker"], PATIENCE_SECONDS)
    assert not worker.is_running()
    assert gateway.is_running()
    supervisor.stop(["gateway", "never-started"], PATIENCE_SECONDS)
    assert not gateway.is_running()


def test_what_ignores_sigterm_is_killed_after_its_time_with_its_children(supervisor: Supervisor) -> None:
    code = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {STUBBORN!r}]); " + STUBBORN
    parent = start(supervisor, "worker", code)
    wait_for(parent.children, "the child")
    children = parent.children()
    supervisor.stop(["worker"], patience_seconds=0.1)
    gone, alive = psutil.wait_procs([parent, *children], timeout=PATIENCE_SECONDS)
    assert (len(gone), alive) == (2, [])


def test_who_is_killed_at_once_is_not_said_to_be_late(supervisor: Supervisor) -> None:
    start(supervisor, "polite", POLITE)
    with capture_logs() as said:
        supervisor.kill()
    assert said == []


def test_a_hurry_ends_the_patience(supervisor: Supervisor) -> None:
    process = start(supervisor, "worker", STUBBORN)
    began = time.monotonic()
    supervisor.stop(["worker"], patience_seconds=600.0, hurry=lambda: True)
    assert not process.is_running()
    assert time.monotonic() - began < PATIENCE_SECONDS


def test_what_dies_is_reported_once_and_started_again(supervisor: Supervisor) -> None:
    process = start(supervisor, "gateway", POLITE)
    assert supervisor.tend() == []
    process.kill()
    process.wait(PATIENCE_SECONDS)
    wait_for(lambda: not supervisor.children["gateway"].alive, "its end")
    assert [child.name for child in supervisor.tend()] == ["gateway"]
    wait_for(lambda: supervisor.tend() == [] and supervisor.children["gateway"].alive, "the new start")
    assert supervisor.children["gateway"].restarts == 1


def test_the_pause_doubles_while_it_keeps_dying(supervisor: Supervisor) -> None:
    child = supervisor.start("gateway", ("false",), os.environ)
    pauses = []
    for _ in range(3):
        wait_for(lambda: not child.alive, "its end")
        supervisor.tend()
        pauses.append(child.pause)
        child.restart_at = 0.0
        supervisor.tend()
    assert pauses == [1.0, 2.0, 4.0]


def test_a_large_log_is_set_aside(supervisor: Supervisor, tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    log = tmp_path / "logs" / "gateway.log"
    with log.open("wb") as file:
        file.truncate(LOG_BYTES + 1)
    start(supervisor, "gateway", POLITE)
    assert log.read_text() == "up\n"
    assert log.with_suffix(".log.1").stat().st_size == LOG_BYTES + 1


SUPERVISE = """
import os, sys, time
from pathlib import Path
from quickthaw_platform.commands.supervisor import Supervisor
supervisor = Supervisor(Path(sys.argv[1]))
child = supervisor.start("worker", (sys.executable, "-c", sys.argv[2]), os.environ)
print(child.popen.pid, flush=True)
time.sleep(600)
"""


def test_a_supervisor_that_is_killed_takes_its_processes_along(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SUPERVISE, str(tmp_path), STUBBORN]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        wait_for(lambda: (tmp_path / "worker.log").read_text() == "deaf\n", "the child's start")
        parent.send_signal(signal.SIGKILL)
        child.wait(PATIENCE_SECONDS)
    assert not child.is_running()


def test_a_program_that_cannot_be_run_is_told_in_a_line(tmp_path: Path) -> None:
    program = tmp_path / "valkey-server"
    program.touch(mode=0o644)
    command = [sys.executable, "-m", "quickthaw_platform.commands.tether", str(os.getpid()), str(program)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS)
    assert (ended.returncode, ended.stderr) == (1, f"{program} cannot be run: Permission denied\n")


def test_a_child_whose_parent_died_before_it_was_tied_ends_itself() -> None:
    command = [sys.executable, "-m", "quickthaw_platform.commands.tether", "1", "sleep", "600"]
    assert subprocess.run(command, check=False, timeout=PATIENCE_SECONDS).returncode == 1
