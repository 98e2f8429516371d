"""Several processes that compute for the gateway and may be killed, started when they are first needed."""

from __future__ import annotations

import threading

from quickthaw_platform.gateway.killable import HelperLost, KillableProcess


class KillablePool:
    """Any thread may ask; who finds all processes busy waits for one."""

    def __init__(self, module: str, processes: int, wait_seconds: float) -> None:
        """`module` is what each process runs, `wait_seconds` the longest wait for an answer."""
        self._module = module
        self._wait_seconds = wait_seconds
        self._free = threading.BoundedSemaphore(processes)
        self._lock = threading.Lock()
        self._idle: list[KillableProcess] = []

    def ask(self, message: bytes) -> bytes:
        """Return what a process answers. Raises HelperOverran where it took too much, HelperLost where two failed."""
        with self._free:
            try:
                return self._asked(message)
            except HelperLost:
                return self._asked(message)

    def close(self) -> None:
        """End the processes that are idle; others are started where more is asked."""
        with self._lock:
            idle, self._idle = self._idle, []
        for process in idle:
            process.close()

    def _asked(self, message: bytes) -> bytes:
        process = self._taken()
        answer = process.ask(message)
        with self._lock:
            self._idle.append(process)
        return answer

    def _taken(self) -> KillableProcess:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        return KillableProcess(self._module, self._wait_seconds)
