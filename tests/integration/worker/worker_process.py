"""A real worker process, started as `quickthaw worker` starts it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import psutil
from redis import Redis
from redis.exceptions import RedisError

from quickthaw_platform.errors import Unavailable
from quickthaw_platform.redis_client import connect
from quickthaw_platform.redis_roles import Role
from quickthaw_platform.settings import Settings
from quickthaw_platform.worker.launch import worker_argv
from tests.process_facts import name_of, runs
from tests.valkey_process import as_role

NODE = "n1"
PATIENCE_SECONDS = 60.0
FORKS_ONLY = "qt-caging"
"""What is there for the milliseconds in which an instance is forked into its namespaces."""


T = TypeVar("T")


def wait_for(condition: Callable[[], T | None], what: str, seconds: float = PATIENCE_SECONDS) -> T:
    """Poll until `condition` holds; outages of Redis count as not yet."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if found := condition():
                return found
        except (RedisError, Unavailable):
            pass
        time.sleep(0.01)
    raise AssertionError(f"{what} did not happen within {seconds} s")


def _written(value: object) -> str:
    """Return a setting as a variable holds it."""
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


class WorkerProcess:
    """A worker and the processes below it."""

    def __init__(self, redis_url: str, data_dir: Path, **settings: Any) -> None:
        self.settings = Settings(
            redis_url=redis_url, data_dir=data_dir, node=NODE, **{"preload": "none", "threads": 1, **settings}
        )
        self.redis: Redis = connect(self.settings)
        self.data_dir = data_dir
        self.process: subprocess.Popen[bytes] | None = None
        self.seen: set[psutil.Process] = set()

    def start(self) -> None:
        """Start the worker and wait until its node has announced itself."""
        names = ("redis_url", "data_dir", "node", "preload", "threads", *self.settings.model_fields_set)
        changed = {f"QUICKTHAW_{name.upper()}": _written(getattr(self.settings, name)) for name in names}
        changed["QUICKTHAW_WORKER_REDIS_URL"] = as_role(Role.WORKER, changed["QUICKTHAW_REDIS_URL"])
        with (self.data_dir / "worker.log").open("ab") as log:
            self.process = subprocess.Popen(
                worker_argv(self.settings), env=os.environ | changed, stdout=log, stderr=log, start_new_session=True
            )
        wait_for(lambda: self.redis.hget(f"qt:node:{NODE}", "last_seen"), "the node's heartbeat")

    def stop(self) -> None:
        """End the worker as a supervisor would, and check that nothing stays behind."""
        self.descendants()
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.assert_no_process_left()

    def kill(self) -> None:
        """End the worker with SIGKILL."""
        assert self.process is not None
        self.descendants()
        self.process.kill()
        self.process.wait()

    def descendants(self) -> list[psutil.Process]:
        """Return all processes below the worker, and remember them."""
        if self.process is None or self.process.poll() is not None:
            return []
        found = psutil.Process(self.process.pid).children(recursive=True)
        found = [process for process in found if name_of(process) not in ("", FORKS_ONLY)]
        self.seen |= set(found)
        return found

    def assert_no_process_left(self) -> None:
        """Wait until every process ever seen below the worker is gone; end those that are not."""
        try:
            wait_for(lambda: not self.left(), "the end of all processes", 10)
        finally:
            for process in self.left():
                process.kill()

    def left(self) -> list[psutil.Process]:
        """Return the processes seen below the worker that still run."""
        return [process for process in self.seen if runs(process)]

    def log(self) -> str:
        """Return what the worker has written."""
        return (self.data_dir / "worker.log").read_text()

    def pids(self) -> dict[str, list[int]]:
        """Return the worker's descendants by what they are."""
        found: dict[str, list[int]] = {"qt-zygote": [], "qt-template": [], "qt-instance": []}
        for process in self.descendants():
            found.setdefault(name_of(process), []).append(process.pid)
        return found
