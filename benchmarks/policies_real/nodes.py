"""A scenario's platform, for real: `quickthaw up` with Valkey, SeaweedFS and a worker for each node, all made anew."""

from __future__ import annotations

import os
import sys
import time
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, Self

import torch

from benchmarks.client import Target
from benchmarks.policies_real.settings import environment, homes, specs, workers_file
from benchmarks.processes import Child
from benchmarks.served import START_SECONDS, Served
from quickthaw import Client, FunctionSpec
from quickthaw_platform.checkpoints.layout import PAGE_BYTES, write_weights
from quickthaw_platform.checkpoints.manifest import FILE_NAME, Manifest
from quickthaw_platform.simulator.scenario import Scenario

WARM_UP = "warm-up"
WARM_UP_BYTES = 1_000_000
WARM_UP_CALLS = 20
CONTEXT_TOKENS = 8192
STOP_SECONDS = 30.0


class Checkpoints:
    """A folder of checkpoints that nobody computes with: random bytes, each as large as the scenario says."""

    def __init__(self, folder: Path, scenario: Scenario) -> None:
        self._folder = folder
        sizes = [group.checkpoint for group in scenario.functions for _ in range(group.count)]
        self._paths = {
            name: _write(folder, name, size)
            for name, size in [*zip(scenario.function_names(), sizes, strict=True), (WARM_UP, WARM_UP_BYTES)]
        }

    def link(self, name: str, disk: Path) -> None:
        """Put a checkpoint onto a node's disk, without a copy of its bytes: they are never changed."""
        source = self._paths[name]
        target = disk / source.name
        target.mkdir(parents=True)
        for file in source.iterdir():
            os.link(file, target / file.name)

    def cool(self) -> None:
        """Have the kernel forget them, so that the disk tier reads from the disk."""
        os.sync()
        for file in self._folder.rglob("*.safetensors"):
            handle = os.open(file, os.O_RDONLY)
            try:
                os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(handle)


def _write(folder: Path, name: str, size: int) -> Path:
    staged = folder / f".staged-{name}"
    staged.mkdir()
    seed = torch.Generator().manual_seed(sum(name.encode()))
    tensor = torch.randint(0, 255, (size - PAGE_BYTES,), dtype=torch.uint8, generator=seed)
    manifest = Manifest(
        name=name, task="generate", architecture="Echo", dtype="float32", bytes=tensor.nbytes,
        context_tokens=CONTEXT_TOKENS, source="random", source_digest=name, files=(),
        weights=write_weights(staged, {"weights": tensor}).files, created_at=1.0,
    )  # fmt: skip
    if manifest.weights_bytes != size:
        raise ValueError(f"{name}: {manifest.weights_bytes} bytes instead of {size}")
    (staged / FILE_NAME).write_text(manifest.model_dump_json())
    return staged.rename(folder / manifest.id)


class RealNodes(Served):
    """A scenario's nodes under one policy: functions deployed, processes warm, nothing in any memory tier."""

    def __init__(self, scenario: Scenario, policy: str, checkpoints: Checkpoints) -> None:
        super().__init__()
        self._scenario = scenario
        self._checkpoints = checkpoints
        file = self.data_dir / "workers.toml"
        file.write_text(workers_file(scenario))
        (keep_alive,) = scenario.keep_alives
        self._env |= environment(scenario, policy, keep_alive)
        command = [str(Path(sys.executable).with_name("quickthaw")), "up", "--workers-file", str(file), "--with-s3"]
        self._up = Child(command, self.data_dir / "up.log", self._env)

    def __enter__(self) -> Self:
        self._place()
        self._up.__enter__()
        self._wait("the platform is ready", self._ready, START_SECONDS)
        access = tomllib.loads((self.data_dir / "client.toml").read_text())
        self.client = Client(access["url"], access["api_key"])
        self._wait("all checkpoints are in the remote tier", self._pushed, START_SECONDS)
        self._warm_up()
        for spec in specs(self._scenario):
            self.client.deploy(spec)
        self._checkpoints.cool()
        return self

    def __exit__(self, *exc_info: object) -> None:
        if hasattr(self, "client"):
            self.client.close()
        super().__exit__(*exc_info)

    def call_target(self, function: str) -> Target:
        """Return where a function is called so that its events are streamed."""
        return self.target(f"/v1/functions/{function}/stream")

    def starts(self) -> Mapping[str, int]:
        """Return how many starts there were by each way, of those that have proved themselves."""
        return {way: found.starts for way, found in self.client.router_accuracy().by_way.items()}

    @contextmanager
    def one_more_start(self) -> Iterator[list[str]]:
        """Wait at the end of the block for the start that it causes; the list then has its way."""
        before, ways = self.starts(), list[str]()
        yield ways

        def grown() -> bool:
            ways[:] = [way for way, count in self.starts().items() if count > before.get(way, 0)]
            return bool(ways)

        self._wait("the start is accounted for", grown)

    def stop_instances(self) -> None:
        """Stop all instances and wait until they are gone."""
        for instance in self.client.instances():
            self.client.stop_instance(instance.id)
        deadline = time.monotonic() + STOP_SECONDS
        while self.client.instances():
            if time.monotonic() > deadline:
                raise TimeoutError(f"instances are left after {STOP_SECONDS} s")

    def evict_everywhere(self, name: str, tier: Literal["dram", "disk"]) -> None:
        """Have no node keep a checkpoint in memory (`disk`: nor on its disk), once it is on a disk at all."""
        self._wait(f"{name} is on a disk", lambda: self._has(name, "disk"))
        for copy in self.client.checkpoint(name).copies:
            self.client.evict_checkpoint(name, copy.node, tier)
        self._wait(f"{name} has left {tier}", lambda: not any(self._has(name, each) for each in {"dram", tier}))
        self._checkpoints.cool()

    def _has(self, name: str, tier: str) -> bool:
        return any(tier in copy.tiers for copy in self.client.checkpoint(name).copies)

    def _place(self) -> None:
        first, *_ = nodes = self._scenario.node_names()
        disks = {node: self.data_dir / "nodes" / node / "checkpoints" for node in nodes}
        disks[first] = self.data_dir / "checkpoints"
        for name, at in homes(self._scenario).items():
            for node in at:
                self._checkpoints.link(name, disks[node])
        self._checkpoints.link(WARM_UP, disks[first])

    def _pushed(self) -> bool:
        found = {entry.name: entry.copies for entry in self.client.checkpoints()}
        wanted, nodes = {*homes(self._scenario), WARM_UP}, len(self._scenario.node_names())
        everywhere = {name for name, copies in found.items() if sum("remote" in copy.tiers for copy in copies) == nodes}
        return wanted <= everywhere

    def _warm_up(self) -> None:
        """Have each node start and serve something, which is then forgotten: first uses load code."""
        nodes = len(self._scenario.node_names())
        memory = min(group.memory for group in self._scenario.functions)
        spec = FunctionSpec(
            name=WARM_UP, model=WARM_UP, engine="echo", memory=memory, concurrency=1, spread=True,
            min_instances=nodes, max_instances=nodes,
        )  # fmt: skip
        self.client.deploy(spec)
        self._wait("every node has warmed up", lambda: [i.state for i in self.client.instances()] == ["ready"] * nodes)
        for _ in range(WARM_UP_CALLS):
            list(self.client.stream(WARM_UP, {"prompt": "warm up"}))
        self.delete(WARM_UP)
        self.client.delete_checkpoint(WARM_UP)
        self._wait("the warm-up is forgotten", lambda: WARM_UP not in {e.name for e in self.client.checkpoints()})
