"""A real gateway (gunicorn, gevent, two workers) in front of a node that is played in this process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Event, Semaphore, Thread
from typing import Any, TypeVar

import httpx
import psutil

from quickthaw.generation import Delta
from quickthaw.resources import CheckpointInfo
from quickthaw.types import FunctionSpec, InvocationState, Usage, Version
from quickthaw_platform.commands.ports import claim_port
from quickthaw_platform.errors import Unavailable
from quickthaw_platform.invocations.records import Chunk
from quickthaw_platform.invocations.slots import SlotStore
from quickthaw_platform.invocations.store import InvocationStore
from quickthaw_platform.redis_roles import Role
from quickthaw_platform.registry.catalogue import Catalogue
from quickthaw_platform.registry.functions import FunctionRegistry
from quickthaw_platform.registry.keys import KeyStore
from quickthaw_platform.settings import Settings
from tests.patience import PATIENCE_SECONDS
from tests.state import announce_node, start_instance
from tests.valkey_process import ValkeyProcess

ROOT = Path(__file__).parents[3]
T = TypeVar("T")


def wait_for(condition: Callable[[], T], what: str, seconds: float = PATIENCE_SECONDS) -> T:
    """Poll until `condition` returns something true."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if found := condition():
            return found
        time.sleep(0.01)
    raise AssertionError(f"{what} did not happen within {seconds} s")


class GatewayProcess:
    """gunicorn with the project's own configuration."""

    def __init__(self, valkey: ValkeyProcess, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.port = claim_port("127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self.port}"
        metrics = folder / "metrics"
        metrics.mkdir(exist_ok=True)
        redis = {"redis_url": valkey.url, "gateway_redis_url": valkey.url_of(Role.GATEWAY)}
        values = {**redis, "data_dir": str(folder), "port": str(self.port), **settings}
        self._environment = {
            **os.environ,
            "PROMETHEUS_MULTIPROC_DIR": str(metrics),
            **{f"QUICKTHAW_{name.upper()}": value for name, value in values.items()},
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        with (self.folder / "gateway.log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *(str(Path(sys.executable).parent / "gunicorn"), "--config"),
                    "python:quickthaw_platform.gateway.gunicorn_conf",
                    "quickthaw_platform.gateway.wsgi:app",
                ],
                cwd=ROOT,
                env=self._environment,
                stdout=log,
                stderr=log,
            )
        wait_for(self.healthy, f"the gateway's start ({self.log()[-500:]})")

    def healthy(self) -> bool:
        """Whether it answers."""
        assert self.process is not None
        assert self.process.poll() is None, self.log()
        try:
            return httpx.get(f"{self.url}/healthz", timeout=2).status_code == 200
        except httpx.TransportError:
            return False

    def log(self) -> str:
        """Return what it wrote."""
        file = self.folder / "gateway.log"
        return file.read_text() if file.exists() else ""

    def workers(self) -> list[psutil.Process]:
        """Return gunicorn's workers."""
        assert self.process is not None
        return psutil.Process(self.process.pid).children()

    def signal(self, number: int) -> None:
        """Signal the master, if it still runs."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)

    def ended(self, seconds: float = 30) -> None:
        """Wait for the end of all."""
        if self.process is not None:
            self.process.wait(seconds)
            self.process = None

    def stop(self) -> None:
        """End it."""
        self.signal(signal.SIGTERM)
        self.ended()


class PlayedNode:
    """A node with one ready instance of the function `chat`; a thread serves what gets a slot, a token at a time."""

    def __init__(self, valkey: ValkeyProcess, settings: Settings) -> None:
        self.redis = valkey.client()
        self.store = InvocationStore(self.redis, settings)
        self.slots = SlotStore(self.redis)
        self.tokens = 5  # how many it says
        self.pause = 0.0  # seconds before each
        self.held = False  # takes invocations and says nothing
        self.permits: Semaphore | None = None  # one is taken for each token
        self._begun: set[str] = set()
        self._stop = Event()
        self._threads: list[Thread] = []

    def open(self) -> Version:
        """Announce the node, deploy the function, bring its instance up and serve."""
        announce_node(self.redis, memory_bytes=1 << 40)
        Catalogue(self.redis).announce(
            [CheckpointInfo(id="c1", name="tiny", task="generate", bytes=1, context_tokens=128)]
        )
        registry = FunctionRegistry(self.redis)
        version = registry.deploy(FunctionSpec(name="chat", model="tiny", engine="echo", concurrency=64))
        registry.deploy(FunctionSpec(name="cold", model="tiny", engine="echo"))
        start_instance(self.redis, version)
        self._threads.append(Thread(target=self._watch))
        self._threads[0].start()
        return version

    def key(self) -> str:
        """Make an admin key."""
        return KeyStore(self.redis).create("test", ["admin"]).key

    def state(self, invocation: str) -> str:
        """Return the state of an invocation."""
        return self.store.get(invocation).state.value

    def close(self) -> None:
        """Stop serving."""
        self._stop.set()
        for thread in self._threads:
            thread.join(30)
        self.redis.close()

    def _watch(self) -> None:
        while not self._stop.wait(0.005):
            try:
                leases = self.slots.leases("x1")
            except Unavailable:
                continue
            for lease in leases:
                if lease.invocation not in self._begun:
                    self._begun.add(lease.invocation)
                    thread = Thread(target=self._serve, args=(lease.invocation, lease.epoch))
                    self._threads.append(thread)
                    thread.start()

    def _serve(self, invocation: str, epoch: int) -> None:
        seq = self._patiently(lambda: self.store.begin(invocation, epoch, "n1", "x1"))
        while self.held and not self._stop.wait(0.01):
            pass
        for number in range(self.tokens):
            if self._stop.wait(self.pause) or not self._permitted():
                return
            delta = Delta(text=f"{number} ", tokens=(number,), prompt_tokens=1 if number == 0 else None)
            chunk = Chunk.of({"delta": delta.to_json()})
            if not self._patiently(lambda seq=seq, chunk=chunk: self.store.append(invocation, epoch, seq, [chunk])):  # type: ignore[misc]
                return
            seq += 1
        usage = Usage(prompt_tokens=1, completion_tokens=self.tokens)
        self._patiently(
            lambda: self.store.finish(invocation, epoch, InvocationState.SUCCEEDED, result="done", usage=usage)
        )

    def _permitted(self) -> bool:
        return self.permits is None or self.permits.acquire(timeout=PATIENCE_SECONDS)

    def _patiently(self, call: Callable[[], T]) -> T:
        while True:
            try:
                return call()
            except Unavailable:
                if self._stop.wait(0.05):
                    raise


def headers(key: str, **more: str) -> Mapping[str, Any]:
    """Return the headers of an authenticated call."""
    return {"Authorization": f"Bearer {key}", **more}
