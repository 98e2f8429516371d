"""A real platform for a benchmark: `quickthaw up` in a temporary data directory, on a free port."""

from __future__ import annotations

import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import httpx
import psutil

from benchmarks.assets import DENSE, MODEL, SOURCE
from benchmarks.client import Target
from benchmarks.processes import Child
from quickthaw.types import FunctionSpec, Version
from quickthaw_platform.commands.ports import claim_port

START_SECONDS = 120.0
IMPORT_SECONDS = 600.0
POLL_SECONDS = 0.05
ZYGOTE_MODULE = "quickthaw_platform.worker.zygote"


INSTANCE_PROCESS = "qt-instance"


@dataclass(frozen=True, slots=True)
class Import:
    """A model as the platform imports it; no options: a GGUF file stays as it is."""

    name: str = MODEL
    source: str = SOURCE
    options: Sequence[str] = ()


DENSE_MODEL = Import(options=DENSE)


class Served:
    """The platform with the measured models imported, from the start to the end of the `with` block."""

    def __init__(
        self,
        imports: Sequence[Import] = (DENSE_MODEL,),
        up_options: Sequence[str] = (),
        programs: Path = Path(sys.executable).parent,
    ) -> None:
        """`programs`: the folder of the `quickthaw` command, where it is to be that of another Python environment."""
        self._command = str(programs / "quickthaw")
        self._folder = tempfile.TemporaryDirectory(prefix="quickthaw-bench-")
        self.data_dir = Path(self._folder.name)
        self._imports = imports
        self._env = {"QUICKTHAW_DATA_DIR": str(self.data_dir), "QUICKTHAW_PORT": str(claim_port("127.0.0.1", 0))}
        self._up = Child([self._command, "up", *up_options], self.data_dir / "up.log", self._env)
        self.url = ""
        self._headers: dict[str, str] = {}

    def __enter__(self) -> Self:
        for one in self._imports:
            self._import(one)
        self._up.__enter__()
        self._wait("the platform is ready", self._ready, START_SECONDS)
        return self

    def __exit__(self, *_: object) -> None:
        self._up.__exit__()
        self._folder.cleanup()

    @property
    def checkpoints(self) -> Path:
        """The folder of the imported checkpoints."""
        return self.data_dir / "checkpoints"

    def target(self, path: str = "/v1/chat/completions") -> Target:
        """Return where an OpenAI client would ask."""
        return Target(self.url, path, self._headers)

    def deploy(self, name: str, **spec: Any) -> Version:
        """Deploy a function, on the measured model unless told, once the node has announced all models."""
        wanted = FunctionSpec.model_validate({"name": name, "model": MODEL, **spec})
        self.wait_for_models()
        answer = httpx.post(
            f"{self.url}/v1/functions", content=wanted.model_dump_json(), headers=self._json_headers, timeout=30
        )
        if answer.is_error:
            raise RuntimeError(f"deploying {name} failed: {answer.text}")
        return Version.model_validate_json(answer.text)

    def wait_for_models(self) -> None:
        """Wait until a node offers all imported models."""
        offered = len(self._imports)
        self._wait("a node offers the models", lambda: len(self._list("checkpoints")) >= offered, START_SECONDS)

    def delete(self, name: str) -> None:
        """Delete a function and wait until its instances are gone."""
        httpx.delete(f"{self.url}/v1/functions/{name}", headers=self._headers, timeout=30).raise_for_status()
        self.wait_for_zero(name)

    def wait_for_zero(self, function: str, seconds: float = 60.0) -> None:
        """Wait until the function has no instance."""
        self._wait(f"{function} has scaled to zero", lambda: not self.instances(function), seconds)

    def instances(self, function: str) -> list[Mapping[str, Any]]:
        """Return the function's instances as `/v1/instances` tells them."""
        return [one for one in self._list("instances") if one["function"] == function]

    def drop_templates(self) -> None:
        """Kill every template, as the system does under memory pressure, and wait until the node knows."""
        for process in _templates(self._up.popen.pid):
            process.kill()
        self._wait("the node knows of no template", lambda: not self._templates_known(), 30.0)

    def has_template(self, version: Version) -> bool:
        """Return whether the node has a template of the version's checkpoint."""
        return any(version.checkpoint in node["templates"] for node in self._list("nodes"))

    def is_primed(self, version: Version) -> bool:
        """Return whether the node has read what the version's prompts begin with."""
        return any(version.id in node["primed"] for node in self._list("nodes"))

    def is_asleep(self, version: Version) -> bool:
        """Return whether a process of the version sleeps on the node."""
        return any(version.id in node["asleep"] for node in self._list("nodes"))

    def wait_until(self, what: str, condition: Callable[[], bool], seconds: float = 60.0) -> None:
        """Wait for a condition; TimeoutError names it."""
        self._wait(what, condition, seconds)

    def evict(self, tier: Literal["dram", "disk"], model: str = MODEL) -> None:
        """Have the node drop a model from its memory, or from memory and disk, and wait until it has."""
        self._wait("the model is in the remote tier", lambda: "remote" in self._copy(model)["tiers"], 60.0)
        body = {"node": self._copy(model)["node"], "tier": tier}
        url = f"{self.url}/v1/checkpoints/{model}/evict"
        httpx.post(url, json=body, headers=self._headers, timeout=30).raise_for_status()
        gone = {"dram", tier}
        self._wait(f"the node has dropped it from {tier}", lambda: gone.isdisjoint(self._copy(model)["tiers"]))

    def stages(self, function: str, request: Mapping[str, Any]) -> dict[str, float]:
        """Call a function and return the seconds of each stage of the start that the call paid for."""
        url = f"{self.url}/v1/functions/{function}/invoke"
        answer = httpx.post(url, json=dict(request), headers=self._headers, timeout=120)
        answer.raise_for_status()
        found: dict[str, float] = answer.json()["stages"]
        return found

    def cpu_seconds(self, *, with_ended: bool = False) -> float:
        """Return the processor time that the platform's living processes, or all that have ended too, used so far."""
        processes = psutil.Process(self._up.popen.pid).children(recursive=True)
        return sum(cpu_seconds(process, with_ended=with_ended) for process in processes)

    def instance_processes(self) -> list[psutil.Process]:
        """Return the processes of all functions' instances, the oldest first."""
        found = [one for one in psutil.Process(self._up.popen.pid).children(recursive=True) if _is_instance(one)]
        return sorted(found, key=lambda process: process.create_time())

    @property
    def _json_headers(self) -> dict[str, str]:
        return {**self._headers, "Content-Type": "application/json"}

    def _import(self, one: Import) -> None:
        command = [self._command, "models", "import", one.source, "--name", one.name, *one.options]
        with Child(command, self.data_dir / "import.log", self._env) as importing:
            if importing.popen.wait(IMPORT_SECONDS) != 0:
                importing.check()

    def _templates_known(self) -> bool:
        return any(node["templates"] for node in self._list("nodes"))

    def _copy(self, model: str) -> dict[str, Any]:
        answer = httpx.get(f"{self.url}/v1/checkpoints/{model}", headers=self._headers, timeout=30)
        answer.raise_for_status()
        (copy,) = answer.json()["copies"]
        found: dict[str, Any] = copy
        return found

    def _list(self, resource: str) -> list[dict[str, Any]]:
        answer = httpx.get(f"{self.url}/v1/{resource}", headers=self._headers, timeout=30)
        answer.raise_for_status()
        found: list[dict[str, Any]] = answer.json()["data"]
        return found

    def _ready(self) -> bool:
        self._up.check()
        client_file = self.data_dir / "client.toml"
        if not client_file.exists():
            return False
        access = tomllib.loads(client_file.read_text())
        self.url, self._headers = access["url"], {"Authorization": f"Bearer {access['api_key']}"}
        try:
            return httpx.get(f"{self.url}/readyz", timeout=5).is_success
        except httpx.TransportError:
            return False

    def _wait(self, what: str, condition: Callable[[], bool], seconds: float = 60.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"not after {seconds} s: {what}\n{self._up.tail()}")
            time.sleep(POLL_SECONDS)


def program(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def _templates(root: int) -> list[psutil.Process]:
    """Return the processes that zygotes below `root` have forked: forks keep the zygote's command line."""
    found = [process for process in psutil.Process(root).children(recursive=True) if _is_zygote(process)]
    pids = {process.pid for process in found}
    zygotes = {process.pid for process in found if process.ppid() not in pids}
    return [process for process in found if process.ppid() in zygotes]


def _is_zygote(process: psutil.Process) -> bool:
    try:
        return ZYGOTE_MODULE in process.cmdline()
    except psutil.NoSuchProcess:
        return False


def _is_instance(process: psutil.Process) -> bool:
    try:
        return process.name() == INSTANCE_PROCESS
    except psutil.NoSuchProcess:
        return False


def cpu_seconds(process: psutil.Process, *, with_ended: bool = False) -> float:
    """Return the processor time that a process, and those that it has seen end, used so far; 0 where it has ended."""
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    own = times.user + times.system
    return own + times.children_user + times.children_system if with_ended else own
