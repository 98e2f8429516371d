"""Who ends `make test-control-groups` ends its kernel, whose processes are processes of this machine."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.virtual_machine import kernel

PATIENCE_SECONDS = 20.0
KERNEL = "#!/bin/sh\nsleep 600 &\necho $!\nwait\n"
"""Stands in for a kernel: it has a process, says which, and runs on."""

MAIN = """
import sys
from pathlib import Path
from tests.virtual_machine import __main__ as machine
machine.FOLDER = Path(sys.argv[1])
machine.kernel.fetch = lambda folder: None
sys.exit(machine.main([]))
"""


def wait_until_it_waits(process: psutil.Process) -> None:
    """Return when a process looks again and again whether its child has ended: it is beyond the start of that."""
    began = process.num_ctx_switches().voluntary
    deadline = time.monotonic() + PATIENCE_SECONDS
    while process.num_ctx_switches().voluntary < began + 3:
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_kernel_and_all_its_processes(tmp_path: Path, number: signal.Signals) -> None:
    program = tmp_path / kernel._PROGRAM
    program.parent.mkdir(parents=True)
    program.write_text(KERNEL)
    program.chmod(0o755)
    command = [sys.executable, "-c", MAIN, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as main:
        assert main.stdout is not None
        inside = psutil.Process(int(main.stdout.readline()))
        outside = psutil.Process(main.pid).children(recursive=True)
        assert inside in outside
        wait_until_it_waits(psutil.Process(main.pid))
        main.send_signal(number)
        assert main.wait(PATIENCE_SECONDS) != 0
    _, left = psutil.wait_procs(outside, timeout=PATIENCE_SECONDS)
    assert left == []
