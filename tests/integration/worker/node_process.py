"""A real worker process beside a real Valkey, and a platform reduced to what tests of the worker need."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import psutil
from redis import Redis
from redis.exceptions import RedisError

from quickthaw.types import Event, FunctionSpec, InvocationInfo, Version
from quickthaw_platform.checkpoints.layout import write_weights
from quickthaw_platform.checkpoints.manifest import FILE_NAME, Manifest
from quickthaw_platform.errors import Unavailable
from quickthaw_platform.invocations.records import NewInvocation
from quickthaw_platform.invocations.slots import SlotStore
from quickthaw_platform.invocations.store import InvocationStore
from quickthaw_platform.redis_client import connect
from quickthaw_platform.redis_roles import Role
from quickthaw_platform.registry.functions import FunctionRegistry
from quickthaw_platform.registry.sealing import KEY_FILE, KeyFile
from quickthaw_platform.registry.secrets import SecretStore
from quickthaw_platform.settings import Settings
from quickthaw_platform.worker.celery_app import make_app
from quickthaw_platform.worker.commands import Commands
from quickthaw_platform.worker.launch import worker_argv
from tests.valkey_process import ValkeyProcess, as_role

NODE = "n1"
PATIENCE_SECONDS = 60.0
MODEL = "echo-model"

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


def write_checkpoint(folder: Path) -> str:
    """Put a checkpoint without tensors, for the echo engine, on the disk; returns its id."""
    staged = folder / ".staged"
    staged.mkdir(parents=True)
    manifest = Manifest(
        name=MODEL,
        task="generate",
        architecture="Echo",
        dtype="float32",
        bytes=0,
        context_tokens=8192,
        source="test",
        source_digest="0",
        files=(),
        weights=write_weights(staged, {}).files,
        created_at=1.0,
    )
    (staged / FILE_NAME).write_text(manifest.model_dump_json())
    staged.rename(folder / manifest.id)
    return manifest.id


@contextmanager
def running_node(folder: Path, **settings: Any) -> Iterator[NodeProcess]:
    """Run a Valkey of its own and a worker beside it; both are ended."""
    valkey = ValkeyProcess(folder)
    valkey.start()
    worker = NodeProcess(valkey.url, folder / "data", **settings)
    try:
        worker.start()
        yield worker
    finally:
        worker.stop()
        worker.redis.close()
        valkey.stop()


def _only_forks(process: psutil.Process) -> bool:
    """Whether it is there for the milliseconds in which an instance is forked into its namespaces."""
    try:
        return process.name() == "qt-caging"
    except psutil.NoSuchProcess:
        return True


def _lives(process: psutil.Process) -> bool:
    """Whether it has not ended; it may while one asks."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _written(value: object) -> str:
    """Return a setting as a variable holds it."""
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


class NodeProcess:
    """A worker, started as `quickthaw worker` starts it, and calls to functions on it."""

    def __init__(self, redis_url: str, data_dir: Path, **settings: Any) -> None:
        self.settings = Settings(
            redis_url=redis_url, data_dir=data_dir, node=NODE, **{"preload": "none", "threads": 1, **settings}
        )
        self.redis: Redis = connect(self.settings)
        self.store = InvocationStore(self.redis, self.settings)
        self.slots = SlotStore(self.redis)
        self.registry = FunctionRegistry(self.redis)
        SecretStore(self.redis).announce(KeyFile(data_dir / KEY_FILE))
        self.commands = Commands(make_app(self.settings))
        self.data_dir = data_dir
        self.process: subprocess.Popen[bytes] | None = None
        self.seen: set[psutil.Process] = set()
        write_checkpoint(self.settings.checkpoints_dir)

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
        found = [p for p in psutil.Process(self.process.pid).children(recursive=True) if not _only_forks(p)]
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
        return [process for process in self.seen if _lives(process)]

    def log(self) -> str:
        """Return what the worker has written."""
        return (self.data_dir / "worker.log").read_text()

    # --- the platform's part

    def deploy(
        self, name: str, source: str | None = None, beside: Mapping[str, str] | None = None, **spec: Any
    ) -> Version:
        """Deploy a function with a handler called `handle`, and files beside its own; or without code."""
        handler = None if source is None else {"file": "function.py", "object": "handle", "parameters": {}}
        files = {} if source is None else {"function.py": source, **(beside or {})}
        body = {"name": name, "model": MODEL, "engine": "echo", "handler": handler, "source": files, **spec}
        return self.registry.deploy(FunctionSpec.model_validate(body))

    def invoke(self, version: Version, _input: dict[str, Any] | None = None, **fields: Any) -> str:
        """Call a function as the gateway does: admit, then tell the node, or start an instance where there is none."""
        identity = secrets.token_hex(6)
        request = {"input": {"prompt": "hello"} if _input is None else _input, "sampling": {}, "seed": 7}
        admission = self.store.admit(NewInvocation(identity, version, fields.pop("request", request), **fields))
        if admission.assignment is not None:
            self.commands.invoke(admission.assignment)
        elif not self.slots.instances(version=version.id):
            self.start_instance(version)
        return identity

    def start_instance(self, version: Version) -> str:
        """Reserve an instance and have the node start it."""
        instance = f"{version.function}-{secrets.token_hex(3)}"
        assert self.slots.reserve(version, NODE, instance, version.spec.memory or self.settings.instance_memory)
        self.commands.start(NODE, instance, version.id)
        return instance

    def ready(self, version: Version) -> str:
        """Start an instance and wait until it is ready."""
        instance = self.start_instance(version)
        wait_for(lambda: self.state(instance) == "ready", f"{instance} becoming ready")
        return instance

    def state(self, instance: str) -> str | None:
        """Return the state of an instance's record."""
        state: Any = self.redis.hget(f"qt:instance:{instance}", "state")
        return None if state is None else str(state)

    def ended(self, identity: str, seconds: float = PATIENCE_SECONDS) -> InvocationInfo:
        """Wait for the end of an invocation."""

        def look() -> InvocationInfo | None:
            info = self.store.get(identity)
            return info if info.state.ended else None

        return wait_for(look, f"the end of {identity}", seconds)

    def call(self, version: Version, _input: dict[str, Any] | None = None, **fields: Any) -> InvocationInfo:
        """Call a function and wait for its end."""
        return self.ended(self.invoke(version, _input, **fields))

    def events(self, identity: str) -> list[Event]:
        """Return an invocation's log so far."""
        return self.store.read(identity, 0, 0)

    def chunks(self, identity: str) -> list[dict[str, Any]]:
        """Return the outputs so far."""
        return [event.data for event in self.events(identity) if event.type == "chunk"]

    def logs(self, function: str) -> list[dict[str, str]]:
        """Return a function's log lines."""
        rows: Any = self.redis.xrange(f"qt:logs:{function}")
        return [fields for _id, fields in rows]

    def pids(self) -> dict[str, list[int]]:
        """Return the worker's descendants by what they are."""
        found: dict[str, list[int]] = {"qt-zygote": [], "qt-template": [], "qt-instance": []}
        for process in self.descendants():
            found.setdefault(process.name(), []).append(process.pid)
        return found
