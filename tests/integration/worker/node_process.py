"""A real worker process beside a real Valkey, and a platform reduced to what tests of the worker need."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from quickthaw.types import Event, FunctionSpec, InvocationInfo, Version
from quickthaw_platform.invocations.records import NewInvocation
from quickthaw_platform.invocations.slots import SlotStore
from quickthaw_platform.invocations.store import InvocationStore
from quickthaw_platform.registry.functions import FunctionRegistry
from quickthaw_platform.registry.sealing import KEY_FILE, KeyFile
from quickthaw_platform.registry.secrets import SecretStore
from quickthaw_platform.worker.celery_app import make_app
from quickthaw_platform.worker.commands import Commands
from tests.integration.worker.echo_checkpoint import MODEL, write_checkpoint
from tests.integration.worker.worker_process import NODE, PATIENCE_SECONDS, WorkerProcess, wait_for
from tests.process_facts import folder_of
from tests.valkey_process import ValkeyProcess


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


class NodeProcess(WorkerProcess):
    """A worker with a checkpoint, and calls to functions on it."""

    def __init__(self, redis_url: str, data_dir: Path, **settings: Any) -> None:
        super().__init__(redis_url, data_dir, **settings)
        self.store = InvocationStore(self.redis, self.settings)
        self.slots = SlotStore(self.redis)
        self.registry = FunctionRegistry(self.redis)
        SecretStore(self.redis).announce(KeyFile(data_dir / KEY_FILE))
        self.commands = Commands(make_app(self.settings))
        write_checkpoint(self.settings.checkpoints_dir)

    def instance_process(self, version: Version) -> psutil.Process:
        """Return the process of the version's one instance."""
        (view,) = self.slots.instances(version=version.id)

        def look() -> psutil.Process | None:
            return next((process for process in self.descendants() if _works_for(view.id, process)), None)

        return wait_for(look, "the instance's process")

    def deploy(
        self, name: str, source: str | None = None, beside: Mapping[str, str] | None = None, **spec: Any
    ) -> Version:
        """Deploy a function with a handler called `handle`, and files beside its own; or without code."""
        handler = None if source is None else {"file": "function.py", "object": "handle", "parameters": {}}
        files = {} if source is None else {"function.py": source, **(beside or {})}
        body = {"name": name, "model": MODEL, "engine": "echo", "handler": handler, "source": files, **spec}
        return self.registry.deploy(FunctionSpec.model_validate(body))

    def invoke(self, version: Version, _input: dict[str, Any] | None = None, **fields: Any) -> str:
        """Call a function as the gateway does: admit, then start an instance where there is none."""
        identity = secrets.token_hex(6)
        request = {"input": {"prompt": "hello"} if _input is None else _input, "sampling": {}, "seed": 7}
        admission = self.store.admit(NewInvocation(identity, version, fields.pop("request", request), **fields))
        if admission.assignment is None and not self.slots.instances(version=version.id):
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


def _works_for(instance: str, process: psutil.Process) -> bool:
    folder = folder_of(process)
    return folder is not None and folder.parent.name == instance
