"""The chaos of the chaos test: at every turn a process drawn at random is killed, and what has a supervisor is back."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter

import psutil

from tests.acceptance.cluster import Cluster
from tests.process_facts import living

ROLES = ("instance", "template", "zygote", "worker", "gateway", "redis")
BELOW_A_WORKER = frozenset({"instance", "template", "zygote"})


class Killer:
    """A thread that kills -9 one process every so many seconds, from `start` to `stop`."""

    def __init__(self, cluster: Cluster, *, seed: int, every_seconds: float) -> None:
        self._cluster = cluster
        self._draw = random.Random(seed)
        self._every_seconds = every_seconds
        self._over = threading.Event()
        self._next: list[str] = []  # roles of this round that have not had their turn
        self.kills: Counter[str] = Counter()
        self.times: list[tuple[float, str]] = []  # (Unix seconds, whom), for whoever reads the logs beside it
        self.raised: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin; the first kill comes after one interval."""
        self._thread.start()

    def stop(self) -> None:
        """End, with everything that was killed started again."""
        self._over.set()
        self._thread.join()
        if self.raised is not None:
            raise self.raised

    def _run(self) -> None:
        try:
            while not self._over.wait(self._every_seconds):
                self._turn()
        except Exception as error:  # noqa: BLE001 - raised again in `stop`
            self.raised = error

    def _turn(self) -> None:
        """Kill one process; the roles take turns, in another order each round."""
        for _ in ROLES:
            self._next = self._next or self._draw.sample(ROLES, len(ROLES))
            role = self._next.pop()
            killed = self._kill(role)
            if killed:
                self.kills[role] += 1
                self.times.append((time.time(), killed))
                return

    def _kill(self, role: str) -> str:
        """Return what was killed; '' when there is none of this role."""
        if role in BELOW_A_WORKER:
            return self._kill_one_of(role)
        if role == "redis":
            self._cluster.valkey.kill()
            self._cluster.valkey.start()
            return role
        name = self._draw.choice(sorted(self._cluster.workers)) if role == "worker" else role
        process = self._cluster.processes[name]
        if role == "gateway":  # its own workers would go on serving, on the port that the next one needs
            os.killpg(process.pid, signal.SIGKILL)
        process.kill()
        process.wait()
        self._cluster.start(name)
        return f"{role} {name} {process.pid}"

    def _kill_one_of(self, role: str) -> str:
        found = [process for worker in self._cluster.workers for process in below(self._cluster, worker, role)]
        if not found:
            return ""
        chosen = self._draw.choice(found)
        try:
            chosen.kill()
        except psutil.NoSuchProcess:
            return ""
        return f"{role} {chosen.pid}"


def below(cluster: Cluster, worker: str, role: str) -> list[psutil.Process]:
    """Return the live processes of a role below a worker, in order of their start."""
    return sorted(living(cluster.descendants(worker), f"qt-{role}"), key=lambda process: process.pid)
