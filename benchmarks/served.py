"""A real platform for a benchmark: `quickthaw up` in a temporary data directory, on a free port."""

from __future__ import annotations

import sys
import tempfile
import time
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import httpx
import psutil

from benchmarks.assets import DENSE, MODEL, SOURCE
from benchmarks.client import Target
from benchmarks.processes import Child
from quickthaw.types import FunctionSpec
from quickthaw_platform.commands.ports import claim_port

START_SECONDS = 120.0
IMPORT_SECONDS = 600.0
POLL_SECONDS = 0.05
ZYGOTE_MODULE = "quickthaw_platform.worker.zygote"


class Served:
    """The platform with the measured model imported, from the start to the end of the `with` block."""

    def __init__(self, import_options: Sequence[str] = DENSE, up_options: Sequence[str] = ()) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="quickthaw-bench-")
        self.data_dir = Path(self._folder.name)
        self._import_options = import_options
        self._env = {"QUICKTHAW_DATA_DIR": str(self.data_dir), "QUICKTHAW_PORT": str(claim_port("127.0.0.1", 0))}
        self._up = Child([program("quickthaw"), "up", *up_options], self.data_dir / "up.log", self._env)
        self.url = ""
        self._headers: dict[str, str] = {}

    def __enter__(self) -> Self:
        with Child(self._import_command(), self.data_dir / "import.log", self._env) as importing:
            if importing.popen.wait(IMPORT_SECONDS) != 0:
                importing.check()
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

    def deploy(self, name: str, **spec: Any) -> None:
        """Deploy a function on the measured model, once its node has announced that."""
        wanted = FunctionSpec(name=name, model=MODEL, **spec)
        self._wait(f"a node offers {MODEL}", lambda: bool(self._list("checkpoints")), START_SECONDS)
        answer = httpx.post(
            f"{self.url}/v1/functions", content=wanted.model_dump_json(), headers=self._json_headers, timeout=30
        )
        if answer.is_error:
            raise RuntimeError(f"deploying {name} failed: {answer.text}")

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

    def wait_for_template(self, seconds: float = 60.0) -> None:
        """Wait until the node offers a template."""
        self._wait("the node has a template", self._templates_known, seconds)

    def evict(self, tier: Literal["dram", "disk"]) -> None:
        """Have the node drop the model from its memory, or from memory and disk, and wait until it has."""
        self._wait("the model is in the remote tier", lambda: "remote" in self._copy()["tiers"], 60.0)
        body = {"node": self._copy()["node"], "tier": tier}
        url = f"{self.url}/v1/checkpoints/{MODEL}/evict"
        httpx.post(url, json=body, headers=self._headers, timeout=30).raise_for_status()
        self._wait(f"the node has dropped it from {tier}", lambda: {"dram", tier}.isdisjoint(self._copy()["tiers"]))

    def stages(self, function: str, request: Mapping[str, Any]) -> dict[str, float]:
        """Call a function and return the seconds of each stage of the start that the call paid for."""
        url = f"{self.url}/v1/functions/{function}/invoke"
        answer = httpx.post(url, json=dict(request), headers=self._headers, timeout=120)
        answer.raise_for_status()
        found: dict[str, float] = answer.json()["stages"]
        return found

    def cpu_seconds(self) -> float:
        """Return the processor time that the platform's living processes have used so far."""
        return sum(_cpu_seconds(process) for process in psutil.Process(self._up.popen.pid).children(recursive=True))

    @property
    def _json_headers(self) -> dict[str, str]:
        return {**self._headers, "Content-Type": "application/json"}

    def _import_command(self) -> list[str]:
        return [program("quickthaw"), "models", "import", SOURCE, "--name", MODEL, *self._import_options]

    def _templates_known(self) -> bool:
        return any(node["templates"] for node in self._list("nodes"))

    def _copy(self) -> dict[str, Any]:
        answer = httpx.get(f"{self.url}/v1/checkpoints/{MODEL}", headers=self._headers, timeout=30)
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

    def _wait(self, what: str, condition: Any, seconds: float = 60.0) -> None:
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


def _cpu_seconds(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return times.user + times.system
