"""What a parent ignores or blocks of signals reaches nobody who supervises or is supervised."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from quickthaw_platform import signals

ALL = {number for number in signal.valid_signals() if number not in (signal.SIGKILL, signal.SIGSTOP)}
PATIENCE_SECONDS = 60.0
PYTHONS_OWN = {signal.SIGPIPE, signal.SIGXFSZ}
"""What Python ignores when it starts."""


def _ignore() -> None:
    for number in ALL:
        signal.signal(number, signal.SIG_IGN)


def _block() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, ALL)


def _both() -> None:
    _ignore()
    _block()


BAD_PARENTS = pytest.mark.parametrize("leave", [_ignore, _block, _both])


def run(command: list[str], leave: Callable[[], None]) -> str:
    """Run a command with what a bad parent leaves behind; return its output."""
    done = subprocess.run(
        command, preexec_fn=leave, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=True
    )
    return done.stdout


def masks(status: str) -> dict[str, set[int]]:
    """Read the sets of signals in /proc/PID/status, less those that are the C library's own: a spawn ignores them."""
    pairs = (line.split(":\t") for line in status.splitlines() if line.startswith("Sig") and "SigQ" not in line)
    return {name: {n for n in map(int, signal.valid_signals()) if int(text, 16) >> (n - 1) & 1} for name, text in pairs}


@BAD_PARENTS
def test_what_is_supervised_starts_with_no_signal_ignored_or_blocked(leave: Callable[[], None]) -> None:
    code = (
        "import os, subprocess, sys; from quickthaw_platform.commands.tether import tethered; "
        "subprocess.run(tethered(['cat', '/proc/self/status']), check=True)"
    )
    found = masks(run([sys.executable, "-c", code], leave))
    assert (found["SigBlk"], found["SigIgn"]) == (set(), set())


@BAD_PARENTS
def test_who_supervises_hears_ctrl_c_and_the_status_of_its_children(leave: Callable[[], None]) -> None:
    code = (
        "import signal, subprocess; from quickthaw_platform import signals; signals.supervise(); "
        "print(subprocess.run(['false']).returncode)\n"
        "try: signal.raise_signal(signal.SIGINT)\nexcept KeyboardInterrupt: print('heard')"
    )
    assert run([sys.executable, "-c", code], leave).split() == ["1", "heard"]


@BAD_PARENTS
def test_the_command_line_blocks_nothing_and_goes_on_ignoring_what_it_was_told_to(leave: Callable[[], None]) -> None:
    code = (
        "import click; from quickthaw.cli.main import main\n"
        "@main.command()\ndef status(): click.echo(open('/proc/self/status').read())\n"
        "main(['status'])"
    )
    found = masks(run([sys.executable, "-c", code], leave))
    assert found["SigBlk"] == set()
    assert (signal.SIGINT in found["SigIgn"]) == (leave is not _block)  # as any program in the background


@BAD_PARENTS
def test_the_gateways_configuration_leaves_no_signal_blocked(leave: Callable[[], None], tmp_path: Path) -> None:
    code = (
        "import quickthaw_platform.gateway.gunicorn_conf; "
        "import signal; print(len(signal.pthread_sigmask(signal.SIG_BLOCK, ())))"
    )
    assert run([sys.executable, "-c", code], leave) == "0\n"


def test_what_is_to_stay_ignored_stays_so() -> None:
    code = (
        "import signal; from quickthaw_platform import signals; signals.start_afresh(keeping=(signal.SIGHUP,)); "
        "print(open('/proc/self/status').read())"
    )
    assert masks(run([sys.executable, "-c", code], _ignore))["SigIgn"] == {signal.SIGHUP}


def test_a_servers_command_of_a_comparison_hears_every_signal() -> None:
    code = (
        "from quickthaw_backends.serving.server_command import ServerCommand; import time\n"
        "server = ServerCommand('cat /proc/self/status')\n"
        "while not server.ended: time.sleep(0.01)\n"
        "print(server.tail())"
    )
    found = masks(run([sys.executable, "-c", code], _both))
    assert (found["SigBlk"], found["SigIgn"]) == (set(), set())


def test_a_handler_of_ones_own_stays() -> None:
    def own(*_: object) -> None:
        """Do nothing."""

    before = signal.signal(signal.SIGINT, own)
    try:
        signals.supervise()
        assert signal.getsignal(signal.SIGINT) is own
    finally:
        signal.signal(signal.SIGINT, before)


def test_the_tests_themselves_hear_ctrl_c() -> None:
    assert signal.getsignal(signal.SIGINT) is not signal.SIG_IGN
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set()
