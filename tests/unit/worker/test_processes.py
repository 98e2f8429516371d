"""Processes that the agent answers for leave nothing behind, whoever their parent was."""

from __future__ import annotations

import subprocess
import sys

ORPHAN = """
import os, select
from quickthaw_platform.worker.processes import WatchedProcess, become_subreaper

class Loop:
    def watch(self, fd, call): self.fd, self.ended = fd, call
    def unwatch(self, fd): pass
    def later(self, seconds, call): self.at_last = call

become_subreaper()
told, tells = os.pipe()
waits, goes = os.pipe()
parent = os.fork()
if not parent:
    os.close(goes)
    child = os.fork()
    if not child:
        os._exit(7)
    os.write(tells, str(child).encode())
    os.read(waits, 1)  # and goes, without having asked how its child ended
    os._exit(0)
child = int(os.read(told, 20))
loop, heard = Loop(), []
WatchedProcess(loop, child, heard.append)
poll = select.poll()
poll.register(loop.fd, select.POLLIN)
poll.poll()
loop.ended(None)
assert heard == []
os.close(goes)
os.waitpid(parent, 0)
loop.at_last()
print(heard, os.path.exists(f"/proc/{child}"))
"""


def test_a_process_whose_parent_goes_without_reaping_it_is_reaped_with_its_status() -> None:
    ran = subprocess.run([sys.executable, "-c", ORPHAN], capture_output=True, text=True, check=True, timeout=60)
    assert ran.stdout.split("\n")[0] == "[7] False"
