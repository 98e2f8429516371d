"""A platform whose every process a test can stop, kill and start again, started by the commands of the Procfile."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import httpx
import psutil

from quickthaw import Client, QuickthawError, Scope
from quickthaw_platform.commands.ports import claim_port
from quickthaw_platform.commands.processes import PROCESSES
from quickthaw_platform.commands.workers import Worker, read_workers
from quickthaw_platform.redis_keys import RedisKey
from quickthaw_platform.redis_roles import Role
from quickthaw_platform.registry.keys import KeyStore
from quickthaw_platform.registry.sealing import KEY_FILE, KeyFile
from quickthaw_platform.registry.secrets import SecretStore
from quickthaw_platform.settings import Settings
from tests.patience import PATIENCE_SECONDS
from tests.valkey_process import ValkeyProcess

ROOT = Path(__file__).resolve().parents[2]
VENV_BIN = Path(sys.executable).parent
COMMANDS = {process.name: shlex.split(process.command) for process in PROCESSES}
ALONE = {"worker": Worker("node-1")}
EAST_AND_WEST = """
own_disks = true

[[workers]]
node = "a"
labels = {zone = "east"}

[[workers]]
node = "b"
labels = {zone = "west"}
"""
"""A workers file: two nodes with a disk and a label each."""

INSTANCES_SECONDS = 120.0
RETURN_SECONDS = 90.0
"""A worker is there when its zygote has imported torch and transformers: seconds, or many on a busy machine."""

T = TypeVar("T")


def wait_for(condition: Callable[[], T], what: str, seconds: float = PATIENCE_SECONDS) -> T:
    """Poll until `condition` returns something true, and return it; AssertionError names `what` did not come."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"{what} did not happen within {seconds} s")


def wait_for_checkpoints(cluster: Cluster, count: int) -> None:
    """Wait until so many checkpoints can be deployed."""
    wait_for(lambda: len(cluster.client.checkpoints()) == count, f"the announcement of {count} checkpoints")


def starting_on(cluster: Cluster, function: str) -> str:
    """Wait until an instance of the function is starting, and return its node."""

    def node() -> str:
        found = [i.node for i in cluster.client.instances() if i.function == function and i.state == "starting"]
        return found[0] if found else ""

    return wait_for(node, f"the start of {function}")


class Cluster:
    """Valkey and the Procfile's processes, each a process group of its own.

    There is one worker, the process `worker` with the node `node-1`; or those of a workers file (as `quickthaw up
    --workers-file` takes it), each a process called by its node's id.
    """

    def __init__(self, data_dir: Path, *, workers_file: Path | None = None, **settings: str) -> None:
        self.data_dir = data_dir
        self.workers = ALONE if workers_file is None else _workers(workers_file, data_dir)
        self.names = [*(name for name in COMMANDS if name != "worker"), *self.workers]
        self.valkey = ValkeyProcess(data_dir / "valkey", durable=True)
        self.valkey.folder.mkdir(parents=True)
        self.settings = settings
        self.http_port = claim_port("127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self.http_port}"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.api_key = ""

    def up(self) -> None:
        """Start everything and wait until a node is there; then `client` has the admin key."""
        self.valkey.start()
        self.redis = self.valkey.client()
        self.api_key = KeyStore(self.redis).create("test", [Scope.ADMIN]).key
        SecretStore(self.redis).announce(KeyFile(self.data_dir / KEY_FILE))
        self.client = Client(self.url, self.api_key)
        for name in self.names:
            self.start(name)
        wait_for(self.ready, "the platform's readiness", RETURN_SECONDS)

    @property
    def environment(self) -> dict[str, str]:
        """The environment that all processes share."""
        metrics = self.data_dir / "metrics"
        metrics.mkdir(exist_ok=True)
        return {
            **os.environ,
            "PATH": f"{VENV_BIN}{os.pathsep}{os.environ['PATH']}",
            "PROMETHEUS_MULTIPROC_DIR": str(metrics),
            "QUICKTHAW_REDIS_URL": self.valkey.url,
            "QUICKTHAW_DATA_DIR": str(self.data_dir),
            "QUICKTHAW_PORT": str(self.http_port),
            **_variables(self.settings),
        }

    def start(self, name: str, **settings: str) -> None:
        """Start one process; its output goes to `data_dir/NAME.log`. `settings` are its own, before all others."""
        command, environment = self.command(name), {**self.environment_of(name), **_variables(settings)}
        with (self.data_dir / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True
            )

    def command(self, name: str) -> list[str]:
        """Return how a process is started."""
        return COMMANDS["worker" if name in self.workers else name]

    def environment_of(self, name: str) -> dict[str, str]:
        """Return the environment of one process, which is the Redis user of its role."""
        worker = self.workers.get(name)
        own = {} if worker is None else {"QUICKTHAW_NODE": worker.node, **worker.environment}
        role = Role.WORKER if worker is not None else Role(name)
        return {**self.environment, "QUICKTHAW_REDIS_URL": self.valkey.url_of(role), **own}

    def kill(self, name: str, sign: signal.Signals = signal.SIGKILL) -> None:
        """Signal one process and wait for its end."""
        process = self.processes[name]
        process.send_signal(sign)
        process.wait(PATIENCE_SECONDS)

    def ready(self) -> bool:
        """Whether the gateway answers and every node is registered."""
        try:
            return httpx.get(f"{self.url}/readyz").is_success and self.nodes() >= self.expected
        except (httpx.TransportError, QuickthawError):
            return False

    @property
    def expected(self) -> set[str]:
        """The ids of the nodes of its workers."""
        return {worker.node for worker in self.workers.values()}

    def nodes(self) -> set[str]:
        """Return the ids of the nodes that are registered."""
        return {node.id for node in self.client.nodes()}

    def wait_for_return(self) -> None:
        """Wait until all workers have registered: those that run now, whatever is left of others under their nodes."""
        wait_for(lambda: all(map(self._is_registered, self.workers)), "the nodes' return", RETURN_SECONDS)

    def wait_for_one_on_each(self, function: str) -> None:
        """Wait until every node has an instance of a function that is ready."""

        def ready() -> bool:
            found = self.client.instances()
            return {i.node for i in found if i.function == function and i.state == "ready"} == self.expected

        wait_for(ready, "an instance on each node", INSTANCES_SECONDS)

    def _is_registered(self, worker: str) -> bool:
        pid = self.redis.hget(RedisKey.NODE.of(self.workers[worker].node), "pid")
        return pid == str(self.processes[worker].pid)

    def descendants(self, name: str) -> list[psutil.Process]:
        """Return the live processes below one of ours."""
        return psutil.Process(self.processes[name].pid).children(recursive=True)

    def down(self) -> list[psutil.Process]:
        """End everything, and return the processes that had to be killed: there should be none."""
        mine = [psutil.Process(p.pid) for p in self.processes.values() if p.poll() is None]
        everybody = [*mine, *(child for parent in mine for child in parent.children(recursive=True))]
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            with contextlib.suppress(subprocess.TimeoutExpired):  # it is killed with what else is left
                process.wait(PATIENCE_SECONDS)
        self.client.close()
        self.redis.close()
        self.valkey.stop()
        _, alive = psutil.wait_procs(everybody, timeout=PATIENCE_SECONDS)
        for left in alive:
            left.kill()
        for process in self.processes.values():
            process.wait()
        return alive


def _workers(file: Path, data_dir: Path) -> dict[str, Worker]:
    return {worker.node: worker for worker in read_workers(file, Settings(data_dir=data_dir))}


def _variables(settings: Mapping[str, str]) -> dict[str, str]:
    return {f"QUICKTHAW_{name.upper()}": value for name, value in settings.items()}


def running(data_dir: Path, *, workers_file: Path | None = None, **settings: str) -> Iterator[Cluster]:
    """Yield a cluster that is up, and check that nothing is left of it afterwards."""
    yield from kept_up(Cluster(data_dir, workers_file=workers_file, **settings))


def kept_up(cluster: Cluster) -> Iterator[Cluster]:
    """Yield a cluster while it is up, and check that nothing is left of it afterwards."""
    try:
        cluster.up()
        yield cluster
    finally:
        left = cluster.down()
    assert not left, f"left behind: {left}"
